"""Commands about rollouts of KubeNodes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from kok.cli.options import Everywhere, KubectlOptions, Namespace, as_kubectl, ask, fail

rollout = typer.Typer(help="How the software of KubeNodes goes out.", no_args_is_help=True)

KubeNodeName = Annotated[str, typer.Argument(help="Name of the KubeNode.")]


@rollout.command(name="status")
@as_kubectl
def rollout_status(
    name: Annotated[
        str | None, typer.Argument(help="Name of a KubeNode, to see each of its nodes.")
    ] = None,
    namespace: Namespace = None,
    everywhere: Everywhere = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            "-w",
            help="Go on with what changes until the rollout has ended, and exit with 1 if not all "
            "nodes have what the spec says then.",
        ),
    ] = False,
    *,
    options: KubectlOptions,
) -> None:
    """Show how rollouts of KubeNodes stand, or each node of one."""
    from kok.cli import rollout as rollouts  # noqa: PLC0415
    from kok.cli.table import print_whole  # noqa: PLC0415

    if watch and name is None:
        fail("say which KubeNode to watch")
    if name is not None and watch:
        seen = rollouts.Follower(typer.echo)
        following = rollouts.changes(name, namespace, options)
        ask(seen.follow(following))
        if seen.failed:
            raise typer.Exit(1)
    elif name is not None:
        found = ask(rollouts.one(name, namespace, options))
        typer.echo(rollouts.headline(found))
        print_whole(rollouts.nodes(found, datetime.now(UTC)))
    else:
        listed = ask(rollouts.several(namespace, options, everywhere=everywhere))
        if not listed:
            typer.echo("no KubeNode found; look into all namespaces with -A")
            return
        print_whole(rollouts.overview(listed, datetime.now(UTC)))


@rollout.command(name="pause")
@as_kubectl
def rollout_pause(
    name: KubeNodeName,
    namespace: Namespace = None,
    *,
    options: KubectlOptions,
) -> None:
    """Begin no further node; those under way are brought to their end."""
    from kok.cli import rollout as rollouts  # noqa: PLC0415

    typer.echo(ask(rollouts.pause(name, namespace, options, paused=True)))


@rollout.command(name="resume")
@as_kubectl
def rollout_resume(
    name: KubeNodeName,
    namespace: Namespace = None,
    *,
    options: KubectlOptions,
) -> None:
    """Go on with a rollout that was paused."""
    from kok.cli import rollout as rollouts  # noqa: PLC0415

    typer.echo(ask(rollouts.pause(name, namespace, options, paused=False)))


@rollout.command(name="abort")
@as_kubectl
def rollout_abort(
    name: KubeNodeName,
    namespace: Namespace = None,
    *,
    options: KubectlOptions,
) -> None:
    """End a rollout: nodes under way go back, the others stay as they are."""
    from kok.cli import rollout as rollouts  # noqa: PLC0415

    typer.echo(ask(rollouts.abort(name, namespace, options)))
