"""Of an object no more than anybody here reads. Pure.

Whoever may write in its namespace hangs on what he likes, and much of it no apply of ours takes
away again: 256 KiB of annotations, a megabyte of further entries of a Secret. Nothing that an
intent of ours can name is left out, or the object would be taken for a changed one.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from kok.api.meta import GROUP, Manifest

NAMED: Final = 16
"""Other entries of a Secret of which at least the names are kept, for people."""


def slim(live: Manifest, entries: Container[str] | None = None) -> Manifest:
    """The object without annotations that are not KOK's; of its data `entries` and the names of a
    few others, or all of it.
    """
    found = live
    meta = live["metadata"]
    notes = meta.get("annotations") or {}
    ours = {key: value for key, value in notes.items() if key.startswith(f"{GROUP}/")}
    if len(ours) < len(notes):
        rest = {key: value for key, value in meta.items() if key != "annotations"}
        found = {**found, "metadata": {**rest, "annotations": ours} if ours else rest}
    data = live.get("data")
    if entries is not None and isinstance(data, dict):
        kept = {key: value for key, value in data.items() if key in entries}
        others = sorted(data.keys() - kept.keys())[:NAMED]
        if others:
            found = {**found, "data": {**dict.fromkeys(others, ""), **kept}}
    return found


def unrecorded(live: Manifest) -> Manifest:
    """The same without the record of who wrote what, for objects that others wrote."""
    found = slim(live)
    meta = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
    return {**found, "metadata": meta}


def without_server_fields(manifest: Manifest) -> Manifest:
    """Server-side apply refuses `managedFields`, and would pin what only the server sets."""
    own = {"managedFields", "creationTimestamp", "generation", "selfLink"}
    meta = {key: value for key, value in manifest["metadata"].items() if key not in own}
    return {**manifest, "metadata": meta}
