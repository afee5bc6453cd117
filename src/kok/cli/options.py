"""Options that commands share, and how they end with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from kok.api.printable import plain_lines
from kok.api.unreadable import Unreadable
from kok.kube.errors import KubeError

if TYPE_CHECKING:
    from kok.cli.identity import KubectlOptions

T = TypeVar("T")

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


def fail(sentence: str) -> NoReturn:
    """Ends the command with a sentence on standard error."""
    typer.echo(f"kok: {plain_lines(sentence)}", err=True)
    raise typer.Exit(1)


def choice(
    kubeconfig: str | None, context: str | None, user: str | None, groups: list[str] | None
) -> KubectlOptions:
    """What the options of a command say of its identity."""
    from kok.cli.identity import KubectlOptions  # noqa: PLC0415

    return KubectlOptions(kubeconfig, context, user, tuple(groups or ()))


def friendly(act: Callable[[], T]) -> T:
    """What `act` returns; an API server's refusal ends the command with its sentence, and so does an
    object that cannot be read."""
    try:
        return act()
    except (KubeError, Unreadable) as error:
        fail(str(error))
