"""The status of one object during one pass: a copy to change, and when it goes to the API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from kok.api.meta import Condition, Resource, Status
from kok.kube.client import Kube
from kok.kube.decoding.truncation import ANYTHING
from kok.kube.errors import Conflict, KubeError, NotFound
from kok.runtime.controller.outcome import merge_patch
from kok.runtime.controller.reasons import READY, STATUS_REFUSED

ATTEMPTS = 5
UNPROCESSABLE = 422
"""How the API server answers what does not fit the CRD, or is no JSON that it can store."""


class StatusWriter:
    """Writes what changed of a status, and nothing when nothing did.

    A merge patch of the changed fields: each status has one writer, so what others may have put
    there (a newer version of the operator, fields this one does not know) is left alone.
    """

    def __init__(self, kube: Kube, obj: Resource, written: Callable[[], None]) -> None:
        self._kube = kube
        self._obj = obj
        self._on_written = written
        self._version = obj.metadata.resource_version
        self.status: Status = obj.status.model_copy(deep=True)
        """The copy that the pass changes."""
        self._last = self._dump()
        self.ready_before: Condition | None = self.status.condition(READY)
        """`Ready` as the pass found it: the very object that is in `status` until it is set."""
        self.ready_told = obj.status.condition(READY)

    @property
    def ready(self) -> Condition | None:
        """`Ready` as it is now."""
        return self.status.condition(READY)

    async def latch(self) -> None:
        """Writes now; `Conflict` if the object is no longer as it was read."""
        await self._write()

    async def write(self, now: datetime) -> None:
        """Writes what differs, also if the spec changed meanwhile.

        Raises `NotFound` if the object is gone, `Conflict` if it never stays as it is, and what else
        the API server answers: if it refuses what the status says, after `Ready` alone told that.
        """
        for attempt in range(1, ATTEMPTS + 1):
            if self._dump() == self._last:
                return
            try:
                await self._write()
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
                await self._follow()
            except KubeError as error:
                if error.status == UNPROCESSABLE:
                    await self._tell_of_refusal(error, now)
                raise

    async def _tell_of_refusal(self, error: KubeError, now: datetime) -> None:
        """Nothing else would: the condition about it was refused with all the rest."""
        told = type(self.status).model_validate(self._last)
        generation = self._obj.metadata.generation
        text = f"its status cannot be written: {error.message}"
        told.set_condition(READY, False, STATUS_REFUSED, text, now=now, generation=generation)
        if (alone := _dump(told)) != self._last:
            await self._send(alone)

    async def _write(self) -> None:
        await self._send(self._dump())

    async def _send(self, now: dict[str, Any]) -> None:
        patch = {
            "metadata": {"resourceVersion": self._version},
            "status": merge_patch(self._last, now),
        }
        meta, kind = self._obj.metadata, self._obj.info.kind
        answer = await self._kube.patch(
            kind, meta.name, meta.namespace, patch, subresource="status"
        )
        self._version = str(answer["metadata"]["resourceVersion"])
        self._last = now
        self._on_written()

    async def _follow(self) -> None:
        """Takes up the object's present version, if it is still the same object."""
        meta, kind = self._obj.metadata, self._obj.info.kind
        live = await self._kube.get(kind, meta.name, meta.namespace, unread=ANYTHING)
        if live is None or live["metadata"]["uid"] != meta.uid:
            raise NotFound(404, "NotFound", f"{self._obj} is gone")
        self._version = str(live["metadata"]["resourceVersion"])

    def _dump(self) -> dict[str, Any]:
        return _dump(self.status)


def _dump(status: Status) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)
