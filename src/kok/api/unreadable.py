"""An object that stands in the API server and does not fit its kind's model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `kok version` does without it
    from pydantic import ValidationError

_NAMED = 3
"""Fields that a sentence names."""
_LONG = 200
"""Characters of what is said of one of them."""


class Unreadable(Exception):
    """What is wrong with it, and what can be told of it nevertheless."""

    def __init__(self, kind: str, manifest: Mapping[str, Any], why: str) -> None:
        """`manifest` is the object as it was read, `why` says what is wrong with it."""
        meta = manifest.get("metadata") or {}
        self.kind = kind
        self.namespace = str(meta.get("namespace") or "")
        self.name = str(meta.get("name") or "")
        self.uid = str(meta.get("uid") or "")
        self.deleting = bool(meta.get("deletionTimestamp"))
        """Whether it waits for its finalizers."""
        self.manifest = manifest
        self.why = why
        super().__init__(str(self))

    def text(self, *path: str) -> str:
        """The text at that place, or nothing."""
        found = self._at(path)
        return found if isinstance(found, str) else ""

    def number(self, *path: str) -> int | None:
        """The whole number at that place."""
        found = self._at(path)
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    def texts(self, *path: str) -> list[str]:
        """The texts of the list at that place."""
        found = self._at(path)
        return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []

    def may_say(self, text: str, *path: str) -> bool:
        """Whether that text stands there, or nothing that could be understood."""
        return self.text(*path) in {text, ""}

    def _at(self, path: tuple[str, ...]) -> Any:
        found: Any = self.manifest
        for step in path:
            found = found.get(step) if isinstance(found, Mapping) else None
        return found

    @property
    def message(self) -> str:
        """The sentence for users."""
        return (
            f"{self.kind} {self.namespace}/{self.name} cannot be read: {self.why}; correct it with "
            "kubectl edit (what is wrong below status with --subresource=status)"
        )

    def __str__(self) -> str:
        """The sentence."""
        return self.message


def misfits(error: ValidationError) -> str:
    """The fields concerned. Nothing of what stands in them: it may be a secret."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    named = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}"[:_LONG] for e in found[:_NAMED]]
    more = [f"{len(found) - _NAMED} more"] if len(found) > _NAMED else []
    return "; ".join([*named, *more])
