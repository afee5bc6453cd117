"""Removes an owner's children: in the order that the caller has, each step bounded in time."""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import timedelta
from typing import Any

from kok.api.meta import Kind, Manifest
from kok.kube.concurrency import all_of
from kok.kube.errors import Conflict
from kok.kube.objects.children import LEAVING, children_of
from kok.kube.objects.ownership import owned_by, owner_labels
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Pass

SHORT_WAIT = 0.5
"""Seconds until the next look at first; not all that goes is watched."""
NAMED = 5
"""Objects that a sentence names."""


class BoundedDeletion:
    """One pass of a clean-up; what does not go in time is told of, and left behind."""

    def __init__(self, p: Pass[Any], gave_up: str) -> None:
        """`gave_up` is the reason of the event about what is left behind."""
        self._p = p
        self._gave_up = gave_up
        began = p.obj.metadata.deletion_timestamp
        self.since = p.now - began if began is not None else timedelta(0)
        """How long ago the owner was deleted."""

    async def children(self, kind: Kind, but: Container[str] = ()) -> list[Manifest]:
        """Those of this very owner, or as many as one pass removes: it waits for all to be gone.

        Without those named in `but`. Raises `KubeError`.
        """
        owner = self._p.obj
        listed = await self._p.kube.list(
            kind,
            owner.namespace,
            labels=owner_labels(owner),
            keep=children_of(owner, (), most=LEAVING),
        )
        return [m for m in listed if m and owned_by(m, owner) and name_of(m) not in but]

    async def delete(self, kind: Kind, found: Iterable[Manifest], grace: int | None = None) -> None:
        """Deletes what is not going yet; `grace` in seconds is given to all, also to those.

        Raises `KubeError`.
        """
        await all_of(
            self._delete_one(kind, manifest, grace)
            for manifest in found
            if grace is not None or not manifest["metadata"].get("deletionTimestamp")
        )

    async def _delete_one(self, kind: Kind, manifest: Manifest, grace: int | None) -> None:
        meta = manifest["metadata"]
        try:
            await self._p.kube.delete(
                kind, meta["name"], meta["namespace"], uid=meta["uid"], grace=grace
            )
        except Conflict:
            return  # Another object of that name by now; the next look will see.

    def wait_for(self, left: Iterable[str], what: str, step: str, limit: timedelta) -> None:
        """Raises `Wait` with reason `step` while something is left and the time is not up.

        `left` are names, `what` goes before them; `limit` counts from the owner's deletion.
        """
        names = sorted(left)
        if not names:
            return
        text = f"{what} {', '.join(names[:NAMED])}".strip()
        if self.since < limit:
            patience = max(SHORT_WAIT, self.since.total_seconds() / 20)
            raise Wait(step, f"waiting for {text} to go", patience)
        self._p.event(
            self._gave_up,
            f"{text} did not go within {int(limit.total_seconds())} s; going on without",
            warning=True,
        )


def name_of(manifest: Manifest) -> str:
    """`metadata.name`."""
    return str(manifest["metadata"]["name"])
