"""Commands about nodes of business clusters."""

from __future__ import annotations

from typing import Annotated

import typer

from kok.api.printable import plain
from kok.cli.options import KubectlOptions, Namespace, as_kubectl, ask

node = typer.Typer(help="What concerns nodes of business clusters.", no_args_is_help=True)


@node.command(name="approve")
@as_kubectl
def approve_node(
    cluster: Annotated[str, typer.Argument(help="Name of the Cluster.")],
    name: Annotated[str, typer.Argument(metavar="NODE", help="Name of the Node in it.")],
    namespace: Namespace = None,
    *,
    options: KubectlOptions,
) -> None:
    """Approve the serving certificates that a node asks for that belongs to no Machine."""
    from kok.cli.approve import approve  # noqa: PLC0415

    done = ask(approve(cluster, name, namespace, options))
    for request in done:
        typer.echo(plain(f"CertificateSigningRequest {request} of Node {name} is approved"))
