"""Requests that change something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.decoding.strip import without_server_fields
from kok.kube.errors import AlreadyExists, Conflict, NotFound
from kok.kube.http.paths import object_path
from kok.kube.requests.base import Requests

APPLY = "application/apply-patch+yaml"
_PATCHES = {"merge": "application/merge-patch+json", "json": "application/json-patch+json"}


class Writes(Requests):
    """All that is written of objects."""

    async def apply(self, manifest: Manifest, *, force: bool = True) -> Manifest:
        """Server-side apply, always sent; `ensure` of `kok.kube.apply.serverside` sends only what is new."""
        kind = await self.resolve(manifest)
        query = {"fieldManager": self.field_manager, "force": str(force).lower()}
        path = object_path(kind, _namespace(kind, manifest), _name(manifest))
        body = without_server_fields(manifest)
        headers = {"Content-Type": APPLY}
        return await self._object("PATCH", path, body, query=query, headers=headers)

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Raises `AlreadyExists` if the name is taken. With `dry_run` nothing is made."""
        kind = await self.resolve(manifest)
        path = object_path(kind, _namespace(kind, manifest))
        query = {"fieldManager": self.field_manager, **({"dryRun": "All"} if dry_run else {})}
        try:
            return await self._object("POST", path, manifest, query=query)
        except AlreadyExists:
            raise
        except Conflict as error:
            raise AlreadyExists(error.status, error.reason, error.message) from error

    async def replace(self, manifest: Manifest) -> Manifest:
        """PUT; raises `Conflict` if the object is no longer at `metadata.resourceVersion`."""
        kind = await self.resolve(manifest)
        path = object_path(kind, _namespace(kind, manifest), _name(manifest))
        query = {"fieldManager": self.field_manager}
        return await self._object("PUT", path, manifest, query=query)

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        subresource: str | None = None,
        type: Literal["merge", "json"] = "merge",  # noqa: A002 - the API's own word
    ) -> Manifest:
        """Changes part of an object; put `metadata.resourceVersion` in to refuse a changed one."""
        path = object_path(kind, namespace, name, subresource)
        query, headers = {"fieldManager": self.field_manager}, {"Content-Type": _PATCHES[type]}
        return await self._object("PATCH", path, patch, query=query, headers=headers)

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
        grace: int | None = None,
    ) -> bool:
        """Whether there was something to delete; with `uid`, only that very object (`Conflict`).

        `grace`: seconds until containers are killed. Finalizers may keep the object for longer.
        """
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
        }
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            await self._send("DELETE", object_path(kind, namespace, name), options)
        except NotFound:
            return False
        return True

    async def evict(self, name: str, namespace: str, *, uid: str) -> None:
        """Deletes a pod if its PodDisruptionBudgets allow it, else raises `TooManyRequests`.

        A pod that is already gone raises `NotFound`, another one in its place `Conflict`.
        """
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        await self._send("POST", object_path(kinds.POD, namespace, name, "eviction"), eviction)


def _name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def _namespace(kind: Kind, manifest: Manifest) -> str | None:
    if not kind.namespaced:
        return None
    return str(manifest["metadata"].get("namespace") or "default")
