"""The `kok` command, also found by kubectl as `kubectl kok`."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, TypeVar

import typer

from kok.api.printable import plain, plain_lines
from kok.api.unreadable import Unreadable
from kok.kube.errors import KubeError

if TYPE_CHECKING:
    from kok.cli.identity import KubectlOptions

OPERATORS = ("etcd", "cluster", "machine")
T = TypeVar("T")

app = typer.Typer(
    name="kok",
    help="Kubernetes clusters as custom resources of another one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", help="Namespace; that of the kubeconfig's context if absent."
    ),
]
Kubeconfig = Annotated[
    str | None,
    typer.Option("--kubeconfig", help="Kubeconfig to use; those of $KUBECONFIG if absent."),
]
Context = Annotated[
    str | None, typer.Option("--context", help="Context of the kubeconfig; the current if absent.")
]
As = Annotated[str | None, typer.Option("--as", help="User to act as.")]
AsGroup = Annotated[
    list[str] | None, typer.Option("--as-group", help="Group to act as a member of; repeatable.")
]


@app.command()
def version() -> None:
    """Print the version of KOK."""
    typer.echo(package_version("kok"))


@app.command()
def operator(
    name: Annotated[
        str | None, typer.Argument(help=f"Which operator to run: {', '.join(OPERATORS)}.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Run all operators in this one process.")
    ] = False,
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    user: As = None,
    groups: AsGroup = None,
) -> None:
    """Run an operator until it is told to stop; settings come from KOK_... variables."""
    if everything == (name is not None):
        fail(f"say which operator to run, {', '.join(OPERATORS)}, or --all")
    if name is not None and name not in OPERATORS:
        fail(f"there is no operator {name!r}; write one of {', '.join(OPERATORS)}, or --all")
    # Imported only here: what an operator needs, `kok version` does not.
    from pydantic import ValidationError  # noqa: PLC0415

    from kok.cli.identity import from_environment  # noqa: PLC0415
    from kok.runtime.process.main import run  # noqa: PLC0415
    from kok.runtime.settings import Settings  # noqa: PLC0415

    names = OPERATORS if everything else (name,)
    try:
        settings = Settings()
        specs = [importlib.import_module(f"kok.operators.{n}").operator(settings) for n in names]
    except ValidationError as error:
        wrong = (f"KOK_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        fail(f"wrong settings in the environment: {'; '.join(wrong)}")
    options = _choice(kubeconfig, context, user, groups)
    _friendly(lambda: run(specs, settings, from_environment(options)))


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


@app.command(name="kubeconfig")
def admin_kubeconfig(
    cluster: Annotated[str, typer.Argument(help="Name of the Cluster.")],
    namespace: Namespace = None,
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    user: As = None,
    groups: AsGroup = None,
) -> None:
    """Print the admin kubeconfig of a business cluster."""
    from kok.cli import query  # noqa: PLC0415

    options = _choice(kubeconfig, context, user, groups)
    text = _friendly(lambda: asyncio.run(query.admin_kubeconfig(cluster, namespace, options)))
    sys.stdout.write(text)


@app.command()
def status(
    namespace: Namespace = None,
    everywhere: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Look into all namespaces.")
    ] = False,
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    user: As = None,
    groups: AsGroup = None,
) -> None:
    """Show the objects of KOK, what state they are in and why."""
    from kok.cli.query import overview  # noqa: PLC0415
    from kok.cli.table import show  # noqa: PLC0415

    options = _choice(kubeconfig, context, user, groups)
    rows = _friendly(lambda: asyncio.run(overview(namespace, options, everywhere=everywhere)))
    if not rows:
        typer.echo("no objects of KOK found; look into all namespaces with -A")
        return
    show(rows)


@app.command()
def doctor(
    operators: Annotated[
        str, typer.Option("--operators", help="Namespace in which the operators run.")
    ] = "kok-system",
    cleaned: Annotated[
        str | None,
        typer.Option("--cleaned", metavar="ID", help="Take a host off the list: it is clean."),
    ] = None,
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    user: As = None,
    groups: AsGroup = None,
) -> None:
    """List hosts of all namespaces that were left with keys and software of a node on them."""
    from kok.cli.doctor import abandoned_hosts, strike_off, table  # noqa: PLC0415
    from kok.cli.table import print_whole  # noqa: PLC0415

    options = _choice(kubeconfig, context, user, groups)
    if cleaned is not None:
        _friendly(lambda: asyncio.run(strike_off(operators, cleaned, options)))
        return
    hosts = _friendly(lambda: asyncio.run(abandoned_hosts(operators, options)))
    if not hosts:
        typer.echo("no host was left without a clean-up")
        return
    print_whole(table(hosts, datetime.now(UTC)))


@app.command()
def upgrade(
    cluster: Annotated[str, typer.Argument(help="Name of the Cluster.")],
    to: Annotated[str, typer.Option("--to", metavar="VERSION", help="Version to go to.")],
    namespace: Namespace = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what stands in the way; begin nothing.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow it until the version runs.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds in which the operator has to answer.")
    ] = 60.0,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    user: As = None,
    groups: AsGroup = None,
) -> None:
    """Upgrade a business cluster, or say what stands in the way; exits with 1 if anything does."""
    from kok.cli import upgrade as upgrades  # noqa: PLC0415
    from kok.cli.table import print_whole  # noqa: PLC0415

    options = _choice(kubeconfig, context, user, groups)
    if check:
        asked = upgrades.check(cluster, to, namespace, options, timeout)
        found = _friendly(lambda: asyncio.run(asked))
        if found.findings:
            print_whole(upgrades.table(found.findings))
        blocking = sum(one.blocks for one in found.findings)
        typer.echo(f"{blocking} of these block it" if blocking else f"{to} can be gone to")
        raise typer.Exit(0 if found.passed else 1)
    begun = upgrades.begin(cluster, to, namespace, options)
    for sentence in _friendly(lambda: asyncio.run(begun)):
        typer.echo(plain(sentence))
    if watch:
        followed = upgrades.follow(
            cluster, to, namespace, options, lambda line: typer.echo(plain(line))
        )
        raise typer.Exit(0 if _friendly(lambda: asyncio.run(followed)) else 1)


node = typer.Typer(help="What concerns nodes of business clusters.", no_args_is_help=True)
app.add_typer(node, name="node")


@node.command(name="approve")
def approve_node(
    cluster: Annotated[str, typer.Argument(help="Name of the Cluster.")],
    name: Annotated[str, typer.Argument(metavar="NODE", help="Name of the Node in it.")],
    namespace: Namespace = None,
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    user: As = None,
    groups: AsGroup = None,
) -> None:
    """Approve the serving certificates that a node asks for that belongs to no Machine."""
    from kok.cli.approve import approve  # noqa: PLC0415

    options = _choice(kubeconfig, context, user, groups)
    done = _friendly(lambda: asyncio.run(approve(cluster, name, namespace, options)))
    for request in done:
        typer.echo(plain(f"CertificateSigningRequest {request} of Node {name} is approved"))


machine = typer.Typer(help="What concerns hosts that serve as nodes.", no_args_is_help=True)
app.add_typer(machine, name="machine")


@machine.command(name="plan")
def machine_plan(
    name: Annotated[str, typer.Argument(help="Name of a KubeNode, or of a Machine.")],
    namespace: Namespace = None,
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    user: As = None,
    groups: AsGroup = None,
) -> None:
    """Show what would run where: what Machines have yet to be told, and what is to be done on hosts."""
    from kok.cli import machine_plan as plans  # noqa: PLC0415
    from kok.cli.table import print_whole  # noqa: PLC0415

    options = _choice(kubeconfig, context, user, groups)
    found = _friendly(lambda: asyncio.run(plans.plan(name, namespace, options)))
    if found.empty:
        typer.echo(plain(f"nothing is to be done for {found.title}"))
    for each in plans.tables(found):
        print_whole(each)


fleet = typer.Typer(help="What concerns FleetUpgrades.", no_args_is_help=True)
app.add_typer(fleet, name="fleet")


@fleet.command(name="status")
def fleet_status(
    name: Annotated[
        str | None, typer.Argument(help="Name of a FleetUpgrade, to see each of its Clusters.")
    ] = None,
    namespace: Namespace = None,
    everywhere: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Look into all namespaces.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            "-w",
            help="Go on with what changes; of one until it has ended, and exit with 1 if that was "
            "with failures, by an abort, or with nothing upgraded.",
        ),
    ] = False,
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    user: As = None,
    groups: AsGroup = None,
) -> None:
    """Show how FleetUpgrades stand, or each Cluster of one."""
    from kok.cli import fleet as fleets  # noqa: PLC0415
    from kok.cli.table import print_whole  # noqa: PLC0415

    options = _choice(kubeconfig, context, user, groups)
    if watch:
        seen = fleets.Follower(name is not None, typer.echo)
        following = fleets.changes(name, namespace, options, everywhere=everywhere)
        _friendly(lambda: asyncio.run(seen.follow(following)))
        if name is not None and seen.failed:
            raise typer.Exit(1)
    elif name is not None:
        found = _friendly(lambda: asyncio.run(fleets.one(name, namespace, options)))
        typer.echo(fleets.headline(found))
        print_whole(fleets.clusters(found, datetime.now(UTC)))
    else:
        asked = fleets.several(namespace, options, everywhere=everywhere)
        listed = _friendly(lambda: asyncio.run(asked))
        if not listed:
            typer.echo("no FleetUpgrade found; look into all namespaces with -A")
            return
        print_whole(fleets.overview(listed, datetime.now(UTC)))


@fleet.command(name="report")
def fleet_report(
    name: Annotated[str, typer.Argument(help="Name of the FleetUpgrade.")],
    namespace: Namespace = None,
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    user: As = None,
    groups: AsGroup = None,
) -> None:
    """Print what came of a FleetUpgrade, as Markdown."""
    from kok.cli import fleet as fleets  # noqa: PLC0415

    options = _choice(kubeconfig, context, user, groups)
    found = _friendly(lambda: asyncio.run(fleets.one(name, namespace, options)))
    sys.stdout.write(fleets.markdown(found))


def fail(sentence: str) -> NoReturn:
    """Ends the command with a sentence on standard error."""
    typer.echo(f"kok: {plain_lines(sentence)}", err=True)
    raise typer.Exit(1)


def _choice(
    kubeconfig: str | None, context: str | None, user: str | None, groups: list[str] | None
) -> KubectlOptions:
    """What the options of a command say of its identity."""
    from kok.cli.identity import KubectlOptions  # noqa: PLC0415

    return KubectlOptions(kubeconfig, context, user, tuple(groups or ()))


def _friendly(act: Callable[[], T]) -> T:
    """What `act` returns; an API server's refusal ends the command with its sentence, and so does an
    object that cannot be read."""
    try:
        return act()
    except (KubeError, Unreadable) as error:
        fail(str(error))
