"""The async client of one API server, speaking plain manifests."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Self

from kok.api.meta import Kind, Manifest
from kok.kube.budget.limits import META, Limits
from kok.kube.budget.pass_memory import PassMemory
from kok.kube.decoding.truncation import refuse_truncated
from kok.kube.errors import KubeError, NotFound, without_traceback
from kok.kube.http import access as access_
from kok.kube.http.access import Access
from kok.kube.http.cache import BoundedCache
from kok.kube.http.paths import object_path, selector
from kok.kube.http.session import CONNECTIONS
from kok.kube.http.transport import Observer, Transport
from kok.kube.lists.collect import collected
from kok.kube.objects.foreign_fields import RemovalLimit
from kok.kube.requests.base import Guard
from kok.kube.requests.writing import Writes
from kok.kube.watch import WatchEvent, watch

ACCEPTED = 2 * 2**20
"""Bytes of differences that servers insist on which are remembered."""


class Kube(Writes):
    """One API server as one identity.

    All methods raise `KubeError`; `Unreachable` when there was no usable answer within the
    time-out, and its kind `AccessError` when the identity itself is unusable. Manifests go in and
    come out as JSON objects and are never changed in place.
    """

    def __init__(
        self,
        access: Access,
        *,
        field_manager: str,
        timeout: float = 30.0,
        observer: Observer | None = None,
        connections: int = CONNECTIONS,
        limits: Limits = META,
        closed: Sequence[str] = (),
    ) -> None:
        """Needs a running event loop. `timeout`: seconds for one request, connecting included.

        `connections`: requests and watches under way at once. Each connection costs both sides a
        TLS handshake and some 200 KiB here, which counts with many API servers. `limits`: how much
        this server may make us read; `TENANT` for whatever is not the meta cluster. `closed`:
        address ranges into which it must not lead, whatever its name stands for; see `kok.kube.http.dial`.
        """
        transport = Transport(
            access,
            timeout=timeout,
            user_agent=field_manager,
            observer=observer,
            connections=connections,
            limits=limits,
            closed=closed,
        )
        super().__init__(transport, field_manager)
        self.turned: Callable[[], None] = lambda: None
        """Called when what a watch is sent becomes too large to be read, and when it no longer is."""
        self.accepted: BoundedCache[str, frozenset[str]] = BoundedCache(ACCEPTED)
        """Differences that `kok.kube.apply.serverside` found the server to insist on, by object UID."""
        self.removals = RemovalLimit()
        """How often `kok.kube.apply.serverside` took out what others added to our objects."""
        self.memory: PassMemory | None = None
        """What is told of all that is read, if anybody wants to know."""
        self.postponed: list[float] = []
        """Seconds after which something is to be looked at again that `kok.kube.apply.serverside` left."""

    @classmethod
    async def from_kubeconfig(
        cls,
        kubeconfig: str | bytes | Mapping[str, Any],
        *,
        field_manager: str,
        timeout: float = 10.0,
        observer: Observer | None = None,
        connections: int = CONNECTIONS,
        limits: Limits = META,
    ) -> Self:
        """A client by the current context of a kubeconfig, text or parsed. Raises `AccessError`."""
        access = access_.from_kubeconfig(kubeconfig)
        return cls(
            access,
            field_manager=field_manager,
            timeout=timeout,
            observer=observer,
            connections=connections,
            limits=limits,
        )

    @property
    def excess(self) -> str | None:
        """What of this server's answers is too large to be read, as a sentence; None if nothing.

        It lasts until the same is asked again and answered within the limits.
        """
        return self._excesses.first

    def excess_of(self, kind: Kind) -> str | None:
        """The same of a watch of that kind alone."""
        return self._excesses.of(_watch_of(kind))

    def guarded(self, guard: Guard) -> Self:
        """The same client, sharing its connections, that asks `guard` before each write."""
        other = copy.copy(self)
        other.__dict__["_guard"] = guard
        return other

    def apart(self, memory: PassMemory | None = None) -> Self:
        """The same client, sharing its connections, with `postponed` of its own.

        `memory` counts what `get` and `list` return, and ends them once that is too much.
        """
        other = copy.copy(self)
        other.__dict__["memory"] = memory
        other.__dict__["postponed"] = []
        return other

    # --- reading

    async def get(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        unread: Collection[str] = (),
        keep: Callable[[Manifest], Manifest] | None = None,
    ) -> Manifest | None:
        """The object, or None if there is none of that name.

        Raises `NotFound` if the API server does not serve the kind (now: it also says so for a
        moment after its start), which is no proof that the object is gone; `TooManyValues` if it
        had to be cut. `unread`: paths of fields that may be missing for all that the caller cares.
        `keep` makes of the object what is kept of it.
        """
        try:
            found = await self._object("GET", object_path(kind, namespace, name))
        except NotFound as error:
            if error.details.get("name") != name:
                raise
            return None
        self._refuse_cut(found, unread)
        kept = found if keep is None else keep(found)
        del found
        if self.memory is not None:
            self.memory.take([kept])
        return kept

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | str | None = None,
        fields: Mapping[str, str] | str | None = None,
        keep: Callable[[Manifest], Manifest | None] | None = None,
        most: int | None = None,
        unread: Collection[str] = (),
        bare: bool = False,
        shared: bool = False,
    ) -> list[Manifest]:
        """All objects of a namespace (None: of all), selected by labels and fields.

        Selectors are mappings of what must be equal, or Kubernetes' own notation. `keep` makes of
        each object what is kept of it, None for nothing: so a list may be long where the server is
        not trusted. What it gives back counts as what a list without it is made of: that may be all
        of it.
        `most`: how many are enough; no further pages are asked for. `unread` is as in `get`.
        `bare`: with nothing but their metadata. `shared`: it is remembered for many, and counts
        for no pass; nor does what is of all namespaces.
        """
        path = object_path(kind, namespace)
        try:
            found = await collected(
                self._transport,
                kind,
                namespace,
                selector(labels, fields),
                keep,
                most=most,
                bare=bare,
                refuse=partial(self._refuse_cut, unread=unread),
                memory=None if shared or namespace is None else self.memory,
            )
        except KubeError as error:
            self._excesses.account(path, error)
            raise without_traceback(error) from None
        self._excesses.account(path, None)
        return found

    def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | str | None = None,
        fields: Mapping[str, str] | str | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """What is there (`ADDED`) and then every change, for ever; failures are retried, not raised."""
        return watch(
            self._transport,
            kind,
            namespace,
            selector(labels, fields),
            partial(self._heed, _watch_of(kind)),
        )

    def _refuse_cut(self, found: Manifest, unread: Collection[str]) -> None:
        """A server whose objects are not cut here may write that mark itself: it means nothing."""
        if self._transport.limits.cuts:
            refuse_truncated(found, unread)

    def _heed(self, watch: str, error: KubeError | None) -> None:
        """Nobody asks a watch how it is, hence `turned`."""
        if self._excesses.account(watch, error):
            self.turned()


def _watch_of(kind: Kind) -> str:
    return f"watch {kind.plural}"
