"""Commands about addons of business clusters."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from kok.api.printable import plain, plain_lines
from kok.cli.options import KubectlOptions, Namespace, as_kubectl, ask, fail, friendly

if TYPE_CHECKING:
    from kok.cli.addons.change import Outcome

addons = typer.Typer(
    help="What runs in business clusters beside their nodes.", no_args_is_help=True
)

ClusterName = Annotated[str, typer.Argument(metavar="CLUSTER", help="Name of the Cluster.")]
AddonName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the addon.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="One value, such as resources.cpu=50m; repeatable."
    ),
]
Files = Annotated[
    list[str] | None,
    typer.Option(
        "--values",
        "-f",
        metavar="FILE",
        help="YAML file of values; - is standard input; repeatable.",
    ),
]
Reset = Annotated[
    bool,
    typer.Option("--reset-values", help="Forget the values that it has instead of adding to them."),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", min=0, help="Seconds for which it is followed; 0: only write it."),
]


@addons.command(name="list")
@as_kubectl
def list_addons(
    cluster: ClusterName, namespace: Namespace = None, *, options: KubectlOptions
) -> None:
    """Show the addons of a cluster and what else there is, with a reason for what does not suit it."""
    from kok.cli.addons import listing  # noqa: PLC0415
    from kok.cli.table import print_whole  # noqa: PLC0415

    print_whole(listing.table(ask(listing.rows(cluster, namespace, options))))


@addons.command()
@as_kubectl
def install(
    cluster: ClusterName,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Name of the addon.")] = None,
    namespace: Namespace = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="All that suit the cluster, with a reason for each other.")
    ] = False,
    chart: Annotated[
        str | None,
        typer.Option(
            "--chart",
            metavar="URL",
            help="A Helm chart of your own: oci://REGISTRY/PATH/CHART or https://REPOSITORY/CHART.",
        ),
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", help="Of the chart: one, or a range such as ^1.2.")
    ] = None,
    called: Annotated[
        str | None,
        typer.Option("--name", help="Of the Addon of the chart; that of the chart if left out."),
    ] = None,
    into: Annotated[
        str | None,
        typer.Option(
            "--release-namespace",
            metavar="NAMESPACE",
            help="Inside the cluster, for what names none in the chart; made if it is not there.",
        ),
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option("--secret", help="Secret with credentials for the chart's repository."),
    ] = None,
    ca: Annotated[
        str | None,
        typer.Option(
            "--ca",
            metavar="FILE",
            help="PEM of the CA of the chart's repository, if it is none of the usual ones.",
        ),
    ] = None,
    settings: Settings = None,
    files: Files = None,
    timeout: Timeout = 300.0,
    options: KubectlOptions,
) -> None:
    """Install an addon, all that suit the cluster, or a chart, and follow that; exits with 1 if one is
    not ready.

    It is written to spec.addons of the Cluster; of a chart an Addon object is made. A network or proxy
    takes the place of the one that is there, as long as the cluster has no node.
    """
    from kok.cli.addons import change, values  # noqa: PLC0415
    from kok.cli.addons.chart import Chart  # noqa: PLC0415

    if (everything, name is not None, chart is not None).count(True) != 1:
        fail("say which addon to install, or --all, or --chart (which is called by --name)")
    if everything and (settings or files):
        fail("values are one addon's: name it in place of --all")
    of_charts = (version, called, into, secret, ca)
    if chart is None and any(one is not None for one in of_charts):
        fail(
            "--version, --name, --release-namespace, --secret and --ca are for a chart of your own, by "
            "--chart; what is built in has the version that goes with its Cluster"
        )
    given = friendly(lambda: values.given(files or (), settings or ()))
    how = change.How(namespace, options, _echo, timeout)
    if chart is None:
        _end(ask(change.install(cluster, name, given, how)))
    else:
        asked = Chart(chart, version, called, into, secret, ca)
        _end(ask(change.install_chart(cluster, asked, given, how)))


@addons.command()
@as_kubectl
def upgrade(
    cluster: ClusterName,
    name: AddonName,
    namespace: Namespace = None,
    *,
    settings: Settings = None,
    files: Files = None,
    reset: Reset = False,
    version: Annotated[
        str | None,
        typer.Option("--version", help="Of the chart or artifact of an Addon of your own."),
    ] = None,
    timeout: Timeout = 300.0,
    options: KubectlOptions,
) -> None:
    """Change an addon that is there, and follow that; exits with 1 if it is not ready in the end."""
    from kok.cli.addons import change, values  # noqa: PLC0415
    from kok.cli.addons.own import Wanted  # noqa: PLC0415

    if not (settings or files or reset or version):
        fail(
            "say what to change, by --set, --values, --reset-values or --version; a built-in addon goes "
            "to another version by itself, with the Kubernetes of its Cluster and with KOK"
        )
    given = friendly(lambda: values.given(files or (), settings or ()))
    how = change.How(namespace, options, _echo, timeout)
    _end(ask(change.upgrade(cluster, name, Wanted(given, reset, version), how)))


@addons.command()
@as_kubectl
def remove(
    cluster: ClusterName,
    name: AddonName,
    namespace: Namespace = None,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask whether that is meant.")
    ] = False,
    timeout: Timeout = 120.0,
    options: KubectlOptions,
) -> None:
    """Remove an addon and wait until all of it is gone; exits with 1 if it is not."""
    from kok.cli.addons import change  # noqa: PLC0415

    how = change.How(namespace, options, _echo, timeout)
    removal = ask(change.consider(cluster, name, how))
    if not yes:
        for warning in removal.warnings:
            _echo(f"{removal.name}: {warning}")
        typer.confirm(plain(f"remove {removal.title}?"), abort=True)
    _end(ask(change.remove(cluster, name, how)))


@addons.command()
@as_kubectl
def diff(
    cluster: ClusterName,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Name of the addon; all that it has if absent."),
    ] = None,
    namespace: Namespace = None,
    *,
    settings: Settings = None,
    files: Files = None,
    reset: Reset = False,
    kubernetes: Annotated[
        str | None,
        typer.Option("--kubernetes", metavar="VERSION", help="For another version of Kubernetes."),
    ] = None,
    options: KubectlOptions,
) -> None:
    """Show what would be changed inside the cluster, by a dry run there, and change nothing.

    As of kubectl diff the exit code is 0 without a difference, 1 with one, and 2 if there is no telling.
    """
    from kok.cli.addons import diff as diffs  # noqa: PLC0415
    from kok.cli.addons import values  # noqa: PLC0415

    with _no_telling():
        if name is None and (settings or files or reset):
            fail("values are one addon's: name it")
        given = friendly(lambda: values.given(files or (), settings or ()))
        change = diffs.Change(name, given, reset, kubernetes)
        found = ask(diffs.diff(cluster, change, namespace, options))
    for line in found.lines:
        typer.echo(line)
    for sentence in found.refused:
        typer.echo(f"kok: {plain(sentence)}", err=True)
    raise typer.Exit(2 if found.refused else int(bool(found.lines)))


@contextmanager
def _no_telling() -> Iterator[None]:
    """What ends a command with an error ends it with 2, since 1 says that there is a difference."""
    try:
        yield
    except typer.Exit:
        raise typer.Exit(2) from None


def _echo(line: str) -> None:
    typer.echo(plain(line))


def _end(outcome: Outcome) -> None:
    """Prints what is to be written elsewhere, and ends the command."""
    if outcome.git:
        sys.stdout.write(plain_lines(outcome.git) + "\n")
    raise typer.Exit(0 if outcome.good else 1)
