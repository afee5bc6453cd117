"""Nodes and certificate requests of a business cluster as they are now, in bounded memory.

An informer follows one collection for as long as it is open. What fails is tried again by the watch
below it, for ever. Whoever has an informer is called back, and what he remembers is his own.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, Protocol, Self, TypeVar

from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.workload.csr import Pending, Request


class NodeRecord(Protocol):
    """What is remembered of one Node."""

    @property
    def size(self) -> int:
        """Bytes that count against the limit of all Nodes."""
        ...

    def bare(self) -> Self:
        """The same without what takes most of them."""
        ...


N = TypeVar("N", bound=NodeRecord)


class Informer(ABC):
    """Follows one kind of objects that have no namespace."""

    def __init__(self, kube: Kube, kind: Kind, on_synced: Callable[[], None]) -> None:
        """Needs a running event loop. `on_synced` is called when all are known, also after each gap."""
        self.synced = asyncio.Event()
        """Set once all are known."""
        self._kube = kube
        self._kind = kind
        self._on_synced = on_synced
        self._task = asyncio.create_task(self._follow(), name=f"informer: {kind.plural}")

    async def close(self) -> None:
        """Ends the watch; what is known stays."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @abstractmethod
    def _take(self, manifest: Manifest, *, gone: bool) -> None:
        """An object is there, is another than it was, or is gone (then with its metadata alone)."""

    async def _follow(self) -> None:
        async for event in self._kube.watch(self._kind):
            if event.type == "SYNCED":
                self.synced.set()
                self._on_synced()
            else:
                self._take(event.object, gone=event.type == "DELETED")
            # Until there is another one, which may take hours, nothing holds an object that is large.
            del event


class NodeInformer(Informer, Generic[N]):
    """All Nodes by name. Those with which all are more than the limit are remembered `bare`."""

    def __init__(
        self,
        kube: Kube,
        record_of: Callable[[Manifest], N],
        *,
        limit: int,
        on_change: Callable[[str, N | None, N | None], None],
        on_synced: Callable[[], None],
    ) -> None:
        """`record_of`: what is remembered of a Node; `limit`: bytes of all records.

        `on_change` gets a Node's name and what is remembered of it before and now, for each event of
        the watch, also where that is the same. Callbacks must be quick.
        """
        super().__init__(kube, kinds.NODE, on_synced)
        self.nodes: dict[str, N] = {}
        self.cut: set[str] = set()
        """Names of those that are remembered bare."""
        self._record_of = record_of
        self._limit = limit
        self._on_change = on_change
        self._size = 0
        """Bytes of all records."""

    def put(self, node: Manifest) -> N:
        """A Node as it is now, whoever found that out; what is remembered of it. Calls nobody."""
        name, record = str(node["metadata"]["name"]), self._record_of(node)
        self._drop(name)
        if self._size + record.size > self._limit:
            record = record.bare()
            self.cut.add(name)
        self._size += record.size
        self.nodes[name] = record
        return record

    def _take(self, manifest: Manifest, *, gone: bool) -> None:
        name = str(manifest["metadata"]["name"])
        before = self.nodes.get(name)
        if gone:
            self._drop(name)
        self._on_change(name, before, None if gone else self.put(manifest))

    def _drop(self, name: str) -> None:
        before = self.nodes.pop(name, None)
        self._size -= before.size if before is not None else 0
        self.cut.discard(name)


class RequestInformer(Informer):
    """Kubelets' requests for certificates that nobody has decided; the newest at most."""

    def __init__(
        self,
        kube: Kube,
        *,
        on_change: Callable[[Request | None, Request | None], None],
        on_synced: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_change` gets what waited under an object's name before and what waits there now, for
        each event of the watch. Callbacks must be quick."""
        super().__init__(kube, kinds.CSR, on_synced)
        self.pending = Pending()
        self._on_change = on_change

    def _take(self, manifest: Manifest, *, gone: bool) -> None:
        before = self.pending.get(str(manifest["metadata"]["name"]))
        self._on_change(before, self.pending.take(manifest, gone=gone))
