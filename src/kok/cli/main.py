"""The `kok` command, also found by kubectl as `kubectl kok`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as package_version
from typing import Annotated, Literal

import typer

from kok.cli.commands.addons import addons
from kok.cli.commands.clusters import clusters
from kok.cli.commands.fleet import fleet
from kok.cli.commands.machine import machine
from kok.cli.commands.node import node
from kok.cli.commands.rollout import rollout
from kok.cli.options import KubectlOptions, as_kubectl, fail, friendly

OPERATORS = ("etcd", "cluster", "machine")

app = typer.Typer(
    name="kok",
    help="Kubernetes clusters as custom resources of another one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(clusters)
app.add_typer(addons, name="addons")
app.add_typer(node, name="node")
app.add_typer(machine, name="machine")
app.add_typer(fleet, name="fleet")
app.add_typer(rollout, name="rollout")


@app.command()
def version() -> None:
    """Print the version of KOK."""
    typer.echo(package_version("kok"))


@app.command()
@as_kubectl
def operator(
    name: Annotated[
        str | None, typer.Argument(help=f"Which operator to run: {', '.join(OPERATORS)}.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Run all operators in this one process.")
    ] = False,
    *,
    options: KubectlOptions,
) -> None:
    """Run an operator until it is told to stop; settings come from KOK_... variables."""
    if everything == (name is not None):
        fail(f"say which operator to run, {', '.join(OPERATORS)}, or --all")
    if name is not None and name not in OPERATORS:
        fail(f"there is no operator {name!r}; write one of {', '.join(OPERATORS)}, or --all")
    # Imported only here: what an operator needs, `kok version` does not.
    from pydantic import ValidationError  # noqa: PLC0415

    from kok.cli.identity import from_environment  # noqa: PLC0415
    from kok.runtime.settings import Settings  # noqa: PLC0415

    # structlog prefers it for drawing on consoles, and nobody looks at one here: 2.5 MiB a process.
    with _hidden("rich"):
        from kok.runtime.process.main import run  # noqa: PLC0415

    names = OPERATORS if everything else (name,)
    try:
        settings = Settings()
        specs = [importlib.import_module(f"kok.operators.{n}").operator(settings) for n in names]
    except ValidationError as error:
        wrong = (f"KOK_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        fail(f"wrong settings in the environment: {'; '.join(wrong)}")
    friendly(lambda: run(specs, settings, from_environment(options)))


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    """Who imports an optional module within does not find it, unless it is loaded already."""
    hides = module not in sys.modules
    if hides:
        sys.modules[module] = None  # type: ignore[assignment]  # as Python's import system has it
    try:
        yield
    finally:
        if hides:
            del sys.modules[module]


@app.command()
def keypair() -> None:
    """Print a new key pair to which backups seal a Cluster's keys; keep the private half elsewhere."""
    from kok.backup.encryption.sealing import key_pair  # noqa: PLC0415

    private, public = key_pair()
    typer.echo(f"privateKey: {private}\nrecipient: {public}")


@app.command(name="etcd-worker", hidden=True)
def etcd_worker(
    command: Annotated[
        Literal["backup", "fetch", "check", "remove", "list"], typer.Argument(help="What to do.")
    ],
) -> None:
    """Move or check a backup of etcd; the etcd operator runs this in Jobs."""
    from kok.backup.main import run  # noqa: PLC0415

    raise typer.Exit(run(command))
