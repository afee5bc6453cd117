"""Hosts that had to be left without a clean-up, and the list of them beside the operators.

Their Machines are gone, often with their namespaces, where not even an event can be written any
more. The list is a ConfigMap in the operators' own namespace; it is bounded, and kept in memory as
well, so that asking it costs nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping

import structlog
from pydantic import ValidationError

from kok.api.machine.host import AbandonedHost
from kok.api.machine.machine import HostPlace
from kok.api.names import ABANDONED_HOSTS, LABEL_MANAGED_BY, MANAGED_BY
from kok.api.printable import cut_bytes, plain
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Forbidden, InvalidObject, KubeError, NotFound
from kok.operators.machine import metrics
from kok.operators.machine.remote.host_identity import spot

MOST = 256
"""Entries; beyond that the namespace that has the most loses its oldest. With texts cut as below
they fit into one ConfigMap, which has a megabyte."""
AGAIN = 60.0
"""Seconds after which it is read again."""
TEXT = 500
"""Bytes of each text of an entry; JSON makes twice as many of quotation marks."""
_log = structlog.stdlib.get_logger("kok.machine")


class Abandoned:
    """The list. One process leads, so that nobody else writes it."""

    def __init__(self) -> None:
        self._known: dict[str, AbandonedHost] = {}
        self._namespace = ""
        self._lock = asyncio.Lock()

    @property
    def known(self) -> Mapping[str, AbandonedHost]:
        """The entries by the UIDs of their Machines or Hosts, as the API server gave them."""
        return self._known

    def holds(self, namespace: str, uid: str) -> bool:
        """Whether there is an entry of that UID, and of that namespace."""
        entry = self._known.get(uid)
        return entry is not None and entry.namespace == namespace

    def of(self, namespace: str, kubenode: str) -> list[AbandonedHost]:
        """Those of a KubeNode's Machines, the newest first."""
        found = [
            entry
            for entry in self._known.values()
            if (entry.namespace, entry.kubenode) == (namespace, kubenode)
        ]
        return sorted(found, key=lambda entry: entry.since, reverse=True)

    def at(self, namespace: str, place: HostPlace) -> list[str]:
        """The UIDs of the Machines or Hosts of a namespace that had the host at that place.

        An entry of an earlier release does not say whether the host was behind a bastion; it stays for
        people to look at rather than go for another host.
        """
        here = spot(place.address, place.port, place.jump or "")
        return [
            uid
            for uid, entry in self._known.items()
            if entry.namespace == namespace
            and spot(entry.address, entry.port, entry.jump or "") == here
        ]

    async def load(self, kube: Kube, namespace: str) -> None:
        """Reads the list of the operators' namespace: people may have taken entries away."""
        self._namespace = namespace
        async with self._lock:
            try:
                found = await kube.get(kinds.CONFIGMAP, ABANDONED_HOSTS, namespace)
            except KubeError as error:
                _log.warning("the list of abandoned hosts cannot be read", error=error.message)
                return
            self._known = entries((found or {}).get("data") or {})
            self._count()

    async def follow(self, kube: Kube, namespace: str) -> None:
        """Reads it again from time to time, for ever."""
        while True:
            await asyncio.sleep(AGAIN)
            await self.load(kube, namespace)

    async def add(self, kube: Kube, uid: str, entry: AbandonedHost) -> None:
        """Adds a host, once. Raises `KubeError` if that may still go through later.

        `uid` is that of a Machine or Host itself, never what one says of another.
        """
        async with self._lock:
            if self.holds(entry.namespace, uid):
                return
            kept, surplus = bounded({**self._known, uid: entry})
            change = {uid: text_of(entry)} if uid in kept else {}
            gone = dict.fromkeys(known for known in surplus if known != uid)
            await self._write(kube, {**change, **gone})
            self._known = kept
            self._count()

    async def cleaned(self, kube: Kube, namespace: str, uid: str) -> None:
        """The host of that Machine, or Host, of that namespace is clean after all.

        A UID can be told by anybody: the entries of other namespaces are none of his.
        """
        async with self._lock:
            if self.holds(namespace, uid):
                await self._write(kube, {uid: None})
                del self._known[uid]
                self._count()

    async def _write(self, kube: Kube, change: Mapping[str, str | None]) -> None:
        try:
            try:
                await kube.patch(
                    kinds.CONFIGMAP, ABANDONED_HOSTS, self._namespace, {"data": dict(change)}
                )
            except NotFound:
                await kube.create(_config_map(self._namespace, change))
        except (Forbidden, InvalidObject, NotFound) as error:
            # No reason to keep a Machine for ever: the log tells of the host at least. Invalid is a
            # list that somebody has filled with other things.
            _log.error("abandoned host not listed", change=list(change), error=error.message)

    def _count(self) -> None:
        metrics.ABANDONED.set(len(self._known))


def bounded(entries: Mapping[str, AbandonedHost]) -> tuple[dict[str, AbandonedHost], list[str]]:
    """Those that are kept, and the UIDs of others.

    Who has many pushes out his own: nobody may make the hosts of others forgotten.
    """
    kept, surplus = dict(entries), []
    while len(kept) > MOST:
        shares = Counter(entry.namespace for entry in kept.values())
        largest = max(shares.values())
        oldest = min(
            (uid for uid, entry in kept.items() if shares[entry.namespace] == largest),
            key=lambda uid: kept[uid].since,
        )
        del kept[oldest]
        surplus.append(oldest)
    return kept, surplus


def text_of(entry: AbandonedHost) -> str:
    """An entry as it is written."""
    short = {
        "why": cut_bytes(plain(entry.why), TEXT),
        "left": cut_bytes(plain(entry.left), TEXT),
    }
    # As it is: escapes would make twelve bytes of a character that has four.
    return json.dumps(entry.model_copy(update=short).manifest(), sort_keys=True, ensure_ascii=False)


def entries(data: Mapping[str, str]) -> dict[str, AbandonedHost]:
    """The entries that can be read."""
    found: dict[str, AbandonedHost] = {}
    for uid, text in data.items():
        try:
            found[uid] = AbandonedHost.model_validate_json(text)
        except ValidationError:
            _log.warning("an entry of the list of abandoned hosts cannot be read", uid=uid)
    return found


def _config_map(namespace: str, data: Mapping[str, str | None]) -> dict[str, object]:
    return {
        "apiVersion": kinds.CONFIGMAP.api_version,
        "kind": kinds.CONFIGMAP.kind,
        "metadata": {
            "name": ABANDONED_HOSTS,
            "namespace": namespace,
            "labels": {LABEL_MANAGED_BY: MANAGED_BY},
        },
        "data": {uid: text for uid, text in data.items() if text is not None},
    }
