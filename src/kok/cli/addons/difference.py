"""Two states of an object as text, and the difference as `kubectl diff` shows it. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

import yaml

from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_INTENT
from kok.api.printable import plain

_SERVERS: Final = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")
"""Metadata that no author writes."""
_MASK: Final = "***"


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """YAML as people write it: a text of several lines stands on several lines."""


def _text(dumper: Any, value: str) -> Any:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def difference(live: Manifest | None, merged: Manifest | None) -> list[str]:
    """Lines in the unified format; none if nothing changes. None stands for what is not there.

    What only a server writes is left out, and of Secrets nothing is told but which entries change.
    """
    before, after = _masked(_own(live), _own(merged))
    lines = list(
        difflib.unified_diff(
            _lines(before),
            _lines(after),
            f"LIVE/{_name(live, merged)}",
            f"MERGED/{_name(live, merged)}",
            lineterm="",
        )
    )
    if not lines:
        return []
    called = _name(live, merged)
    return [plain(one) for one in (f"diff -u -N LIVE/{called} MERGED/{called}", *lines)]


def _name(live: Manifest | None, merged: Manifest | None) -> str:
    """`apps.v1.Deployment.kube-system.coredns`."""
    one = live or merged or {}
    meta = one.get("metadata") or {}
    parts = (one.get("apiVersion"), one.get("kind"), meta.get("namespace"), meta.get("name"))
    return ".".join(str(part).replace("/", ".") for part in parts if part)


def _own(manifest: Manifest | None) -> Manifest | None:
    if manifest is None:
        return None
    meta = {key: value for key, value in manifest["metadata"].items() if key not in _SERVERS}
    notes = {
        k: v for k, v in (meta.pop("annotations", None) or {}).items() if k != ANNOTATION_INTENT
    }
    meta |= {"annotations": notes} if notes else {}
    return {**{k: v for k, v in manifest.items() if k != "status"}, "metadata": meta}


def _masked(
    before: Manifest | None, after: Manifest | None
) -> tuple[Manifest | None, Manifest | None]:
    """What is secret without its values: one that changes shows that it does."""
    if "Secret" not in {(one or {}).get("kind") for one in (before, after)}:
        return before, after
    old, new = _entries(before), _entries(after)
    changed = {key for key in old.keys() & new.keys() if old[key] != new[key]}
    return _with(before, old, changed, "before"), _with(after, new, changed, "after")


def _entries(secret: Manifest | None) -> dict[tuple[str, str], Any]:
    parts = {part: (secret or {}).get(part) for part in ("data", "stringData")}
    return {
        (part, key): value
        for part, found in parts.items()
        if isinstance(found, Mapping)
        for key, value in found.items()
    }


def _with(
    secret: Manifest | None,
    entries: Mapping[tuple[str, str], Any],
    changed: set[tuple[str, str]],
    when: str,
) -> Manifest | None:
    if secret is None:
        return None
    masked: dict[str, dict[str, str]] = {}
    for part, key in entries:
        text = f"{_MASK} ({when})" if (part, key) in changed else _MASK
        masked.setdefault(part, {})[key] = text
    return {**secret, **masked}


def _lines(manifest: Manifest | None) -> list[str]:
    if manifest is None:
        return []
    text: str = yaml.dump(manifest, Dumper=_Dumper, allow_unicode=True, width=10_000)
    return text.splitlines()
