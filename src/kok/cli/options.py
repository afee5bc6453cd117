"""What commands have in common: who asks the meta cluster, and how an error ends a command."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final, NoReturn, TypeVar

import typer

from kok.api.printable import plain_lines
from kok.api.unreadable import Unreadable
from kok.kube.errors import KubeError

T = TypeVar("T")

Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", help="Namespace; that of the kubeconfig's context if absent."
    ),
]
Everywhere = Annotated[
    bool, typer.Option("--all-namespaces", "-A", help="Look into all namespaces.")
]


@dataclass(frozen=True, slots=True)
class KubectlOptions:
    """What the command line says of its identity; empty where it says nothing."""

    kubeconfig: str | None = None
    context: str | None = None
    user: str | None = None
    groups: tuple[str, ...] = ()


UNSAID: Final = KubectlOptions()

_IDENTITY: dict[str, Any] = {
    "kubeconfig": Annotated[
        str | None,
        typer.Option("--kubeconfig", help="Kubeconfig to use; those of $KUBECONFIG if absent."),
    ],
    "context": Annotated[
        str | None,
        typer.Option("--context", help="Context of the kubeconfig; the current if absent."),
    ],
    "user": Annotated[str | None, typer.Option("--as", help="User to act as.")],
    "groups": Annotated[
        list[str] | None,
        typer.Option("--as-group", help="Group to act as a member of; repeatable."),
    ],
}


def as_kubectl(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command kubectl's options of identity; it gets them as `options`."""
    signature = inspect.signature(command, eval_str=True)
    own = [one for one in signature.parameters.values() if one.name != "options"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _IDENTITY.items()
    ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        said = {name: given.pop(name) for name in _IDENTITY}
        groups = tuple(said.pop("groups") or ())
        command(**given, options=KubectlOptions(**said, groups=groups))

    run.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in (*own, *added)}
    return run


def fail(sentence: str) -> NoReturn:
    """Ends the command with a sentence on standard error."""
    typer.echo(f"kok: {plain_lines(sentence)}", err=True)
    raise typer.Exit(1)


def friendly(act: Callable[[], T]) -> T:
    """What `act` returns; an API server's refusal ends the command with its sentence, and so does an
    object that cannot be read."""
    try:
        return act()
    except (KubeError, Unreadable) as error:
        fail(str(error))


def ask(asked: Coroutine[Any, Any, T]) -> T:
    """What was asked for; refusals end the command as with `friendly`."""
    return friendly(lambda: asyncio.run(asked))
