"""Asks the API server what it makes of an object, without leaving one behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kok.api.meta import GROUP, VERSION, Kind
from kok.kube.client import Kube
from kok.kube.errors import InvalidObject
from kok.kube.http.paths import object_path

STRICT = {"dryRun": "All", "fieldValidation": "Strict"}


def kind_named(kind: str) -> Kind:
    """One of KOK's kinds."""
    return Kind(GROUP, VERSION, kind, f"{kind.lower()}s")


@dataclass(frozen=True)
class Refusal:
    """One thing that the API server finds wrong: the field and the sentence for the user."""

    field: str
    message: str

    def says(self, sentence: str) -> bool:
        """Whether that is the sentence, after what the API server itself puts before it."""
        return self.message == sentence or self.message.endswith(f": {sentence}")


async def created(kube: Kube, namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The object as it would be stored; raises `InvalidObject` if it is refused."""
    kind = kind_named(manifest["kind"])
    answer = await kube.raw("POST", object_path(kind, namespace), manifest, query=STRICT)
    assert isinstance(answer, dict)
    return answer


async def replaced(kube: Kube, namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The object as it would be stored in place of the one there."""
    kind = kind_named(manifest["kind"])
    path = object_path(kind, namespace, manifest["metadata"]["name"])
    answer = await kube.raw("PUT", path, manifest, query=STRICT)
    assert isinstance(answer, dict)
    return answer


async def refusals(
    kube: Kube, namespace: str, manifest: Mapping[str, Any], *, instead_of: bool = False
) -> list[Refusal]:
    """What the API server finds wrong with an object; empty if it would take it."""
    try:
        await (replaced if instead_of else created)(kube, namespace, manifest)
    except InvalidObject as error:
        return [
            Refusal(str(cause.get("field", "")), str(cause.get("message", "")))
            for cause in error.details.get("causes", ())
        ] or [Refusal("", error.message)]
    return []
