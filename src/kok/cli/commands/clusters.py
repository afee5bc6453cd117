"""Commands about business clusters, and about all that there is."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from kok.api.printable import plain
from kok.cli.options import Everywhere, KubectlOptions, Namespace, as_kubectl, ask

clusters = typer.Typer()


@clusters.command(name="kubeconfig")
@as_kubectl
def admin_kubeconfig(
    cluster: Annotated[str, typer.Argument(help="Name of the Cluster.")],
    namespace: Namespace = None,
    *,
    options: KubectlOptions,
) -> None:
    """Print the admin kubeconfig of a business cluster."""
    from kok.cli import query  # noqa: PLC0415

    text = ask(query.admin_kubeconfig(cluster, namespace, options))
    sys.stdout.write(text)


@clusters.command()
@as_kubectl
def status(
    namespace: Namespace = None,
    everywhere: Everywhere = False,
    *,
    options: KubectlOptions,
) -> None:
    """Show the objects of KOK, what state they are in and why."""
    from kok.cli.query import overview  # noqa: PLC0415
    from kok.cli.table import show  # noqa: PLC0415

    rows = ask(overview(namespace, options, everywhere=everywhere))
    if not rows:
        typer.echo("no objects of KOK found; look into all namespaces with -A")
        return
    show(rows)


@clusters.command()
@as_kubectl
def doctor(
    operators: Annotated[
        str, typer.Option("--operators", help="Namespace in which the operators run.")
    ] = "kok-system",
    cleaned: Annotated[
        str | None,
        typer.Option("--cleaned", metavar="ID", help="Take a host off the list: it is clean."),
    ] = None,
    *,
    options: KubectlOptions,
) -> None:
    """List hosts of all namespaces that were left with keys and software of a node on them."""
    from kok.cli.doctor import abandoned_hosts, strike_off, table  # noqa: PLC0415
    from kok.cli.table import print_whole  # noqa: PLC0415

    if cleaned is not None:
        ask(strike_off(operators, cleaned, options))
        return
    hosts = ask(abandoned_hosts(operators, options))
    if not hosts:
        typer.echo("no host was left without a clean-up")
        return
    print_whole(table(hosts, datetime.now(UTC)))


@clusters.command()
@as_kubectl
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
    options: KubectlOptions,
) -> None:
    """Upgrade a business cluster, or say what stands in the way; exits with 1 if anything does."""
    from kok.cli import upgrade as upgrades  # noqa: PLC0415
    from kok.cli.table import print_whole  # noqa: PLC0415

    if check:
        found = ask(upgrades.check(cluster, to, namespace, options, timeout))
        if found.findings:
            print_whole(upgrades.table(found.findings))
        blocking = sum(one.blocks for one in found.findings)
        typer.echo(f"{blocking} of these block it" if blocking else f"{to} can be gone to")
        raise typer.Exit(0 if found.passed else 1)
    for sentence in ask(upgrades.begin(cluster, to, namespace, options)):
        typer.echo(plain(sentence))
    if watch:
        followed = upgrades.follow(
            cluster, to, namespace, options, lambda line: typer.echo(plain(line))
        )
        raise typer.Exit(0 if ask(followed) else 1)
