"""The lab's command line; see `python -m e2e.lab --help`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from e2e.lab import status, teardown
from e2e.lab.cluster import state as states
from e2e.lab.cluster.state import Store
from e2e.lab.errors import LabError
from e2e.lab.images import operator_image, rootfs
from e2e.lab.lab import SYSTEM, Lab
from e2e.lab.machine import preflight
from e2e.lab.machine.cache import Cache
from e2e.lab.plan import BUILD_SECONDS, usual
from e2e.lab.programs import debs
from e2e.lab.programs.binaries import Builder, program
from e2e.lab.steps import forecast
from e2e.lab.steps.graph import Graph, Step
from e2e.lab.steps.progress import reporter

T = TypeVar("T")

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
host_app = typer.Typer(help="One host: make it, remove it, and what befalls hosts.")
app.add_typer(host_app, name="host")
_errors = Console(stderr=True, highlight=False, soft_wrap=True)

Name = Annotated[str, typer.Argument(help="meta-N or worker-N")]
System = Annotated[str, typer.Option(help=f"one of {', '.join(rootfs.SYSTEMS)}")]


def _do(work: Coroutine[Any, Any, T]) -> T:
    """Run one command's work; a failure that the lab explains ends it without a traceback."""
    try:
        return asyncio.run(work)
    except LabError as error:
        _errors.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None


@app.command()
def up(
    meta: Annotated[int, typer.Option(help="hosts of the meta cluster, at least")] = 1,
    workers: Annotated[int, typer.Option(help="bare hosts for KOK to initialise, at least")] = 0,
) -> None:
    """Bring the lab up; what is up already is left alone."""
    _do(Lab.up(meta, workers, Console()))


@app.command()
def down(
    purge_cache: Annotated[
        bool, typer.Option("--purge-cache", help="remove built programs and images too")
    ] = False,
) -> None:
    """Take the lab down; nothing of it stays but the cache."""
    _do(teardown.take_down(Cache(), purge_cache=purge_cache))


@app.command("status")
def show_status() -> None:
    """Show hosts, services and meta cluster."""
    _do(status.show(Console()))


@app.command()
def kubeconfig() -> None:
    """Print the path of the meta cluster's kubeconfig."""
    store = Store(states.lab_name())
    if not store.kubeconfig.exists():
        _errors.print(f"the lab {store.name} is not up: bring it up first", style="red")
        raise typer.Exit(1)
    print(store.kubeconfig)


@app.command()
def binary(
    name: Annotated[str, typer.Argument(help="such as kube-apiserver, etcd, helm, promtool")],
    version: Annotated[str | None, typer.Option(help="such as v1.37.1")] = None,
) -> None:
    """Print the path of a program, after building or fetching it if it is missing."""

    async def work() -> None:
        cache = Cache()
        if name in debs.PROGRAMS:
            print(await debs.ensure(cache, name, version))
            return
        go, toolchain = await preflight.go(cache)
        item = program(name, version)
        builder = Builder(cache, go, toolchain)
        await builder.decide([item])
        graph = Graph()
        how = "download" if builder.downloaded([item]) else "make"
        graph.add(
            Step(
                f"{how} {name} {item.version}",
                partial(builder.ensure, [item]),
                limit=BUILD_SECONDS,
                expected=builder.expected([item]),
                detail=partial(builder.progress, [item]),
            )
        )
        async with reporter(_errors) as progress:
            await graph.run(progress)
        print(builder.path(item))

    _do(work())


@app.command()
def missing(
    wanted: Annotated[list[str] | None, typer.Argument(help="such as etcd@v3.6.11")] = None,
) -> None:
    """Say what has to be built or downloaded first for a lab and for further programs, and how
    long that takes: as long as last time, where there was one."""

    async def work() -> None:
        cache = Cache()
        builder = Builder(cache, *await preflight.go_to_be(cache))
        names = [each.partition("@") for each in wanted or ()]
        items = [program(name, version) for name, _, version in names if name not in debs.PROGRAMS]
        items = [*usual(), *items]
        await builder.decide(items)
        images = [*rootfs.pending(cache), *operator_image.pending(cache)]
        for line in forecast.lines([*builder.pending(items), *images]):
            _errors.print(line, markup=False)

    _do(work())


@app.command()
def image() -> None:
    """Build KOK's own image from this checkout, serve it, and print its reference."""

    async def work() -> None:
        print(await (await Lab.open()).operator_image())

    _do(work())


@app.command()
def want(
    kubernetes: Annotated[str | None, typer.Option(help="such as v1.36.4")] = None,
    etcd: Annotated[list[str] | None, typer.Option(help="such as v3.7.3, repeatable")] = None,
) -> None:
    """Build and serve further versions of Kubernetes and etcd."""

    async def work() -> None:
        await (await Lab.open()).want(kubernetes, etcd or ())

    _do(work())


@app.command("s3")
def want_s3() -> None:
    """Make the S3 server, and print where it is and where its keys lie."""

    async def work() -> None:
        lab = await Lab.open()
        server = await lab.want_s3()
        print(f"{server.endpoint}\nkeys and CA: {server.keys}")

    _do(work())


@app.command()
def prepull(images: Annotated[list[str], typer.Argument(help="image references")]) -> None:
    """Pull images onto the meta hosts."""

    async def work() -> None:
        await (await Lab.open()).prepull(*images)

    _do(work())


@host_app.command()
def add(system: System = SYSTEM) -> None:
    """Make one more bare host."""

    async def work() -> None:
        host = await (await Lab.open()).add_worker(system=system)
        print(f"{host.name} {host.address}")

    _do(work())


@host_app.command()
def reset(name: Name, system: System = SYSTEM) -> None:
    """Replace a worker by a bare one with a new host key."""

    async def work() -> None:
        await (await Lab.open()).reset(name, system)

    _do(work())


@host_app.command()
def ssh(name: Name) -> None:
    """Print how to reach a host over SSH."""

    async def work() -> None:
        access = (await Lab.open()).ssh(name)
        print(f"ssh -i {access.key} {access.user}@{access.address}")
        print(f"host key: {access.host_key}\nfingerprint: {access.fingerprint}")

    _do(work())


def _on_host(verb: str, summary: str) -> None:
    """Add a command that does one thing to one host, named like the method of Lab."""

    @host_app.command(verb, help=summary)
    def command(name: Name) -> None:
        async def work() -> None:
            await getattr(await Lab.open(), verb)(name)

        _do(work())


for _verb, _summary in {
    "remove": "Remove a host with its disks.",
    "kill": "Cut a host's power.",
    "start": "Switch a killed host on again.",
    "restart": "Reboot a host.",
    "pause": "Freeze a host.",
    "unpause": "Thaw a host.",
    "cut": "Cut a host off the network.",
    "heal": "Connect a host again.",
}.items():
    _on_host(_verb, _summary)
