"""Commands about FleetUpgrades."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from kok.cli.options import Everywhere, KubectlOptions, Namespace, as_kubectl, ask

fleet = typer.Typer(help="What concerns FleetUpgrades.", no_args_is_help=True)


@fleet.command(name="status")
@as_kubectl
def fleet_status(
    name: Annotated[
        str | None, typer.Argument(help="Name of a FleetUpgrade, to see each of its Clusters.")
    ] = None,
    namespace: Namespace = None,
    everywhere: Everywhere = False,
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
    options: KubectlOptions,
) -> None:
    """Show how FleetUpgrades stand, or each Cluster of one."""
    from kok.cli import fleet as fleets  # noqa: PLC0415
    from kok.cli.table import print_whole  # noqa: PLC0415

    if watch:
        seen = fleets.Follower(name is not None, typer.echo)
        following = fleets.changes(name, namespace, options, everywhere=everywhere)
        ask(seen.follow(following))
        if name is not None and seen.failed:
            raise typer.Exit(1)
    elif name is not None:
        found = ask(fleets.one(name, namespace, options))
        typer.echo(fleets.headline(found))
        print_whole(fleets.clusters(found, datetime.now(UTC)))
    else:
        listed = ask(fleets.several(namespace, options, everywhere=everywhere))
        if not listed:
            typer.echo("no FleetUpgrade found; look into all namespaces with -A")
            return
        print_whole(fleets.overview(listed, datetime.now(UTC)))


@fleet.command(name="report")
@as_kubectl
def fleet_report(
    name: Annotated[str, typer.Argument(help="Name of the FleetUpgrade.")],
    namespace: Namespace = None,
    *,
    options: KubectlOptions,
) -> None:
    """Print what came of a FleetUpgrade, as Markdown."""
    from kok.cli import fleet as fleets  # noqa: PLC0415

    found = ask(fleets.one(name, namespace, options))
    sys.stdout.write(fleets.markdown(found))
