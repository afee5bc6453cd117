"""Addresses of a Cluster's Machines, followed by one watch for all Clusters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.decoding.truncation import FREE_FORM
from kok.kube.objects.addresses import address
from kok.runtime.clock import Clock
from kok.runtime.controller.reconciler import Key

MACHINE = Machine.info.kind
REFRESH = 600.0
"""Seconds after which a namespace is listed again: a wake does not tell that a Machine is gone."""
SPARE = 1000
"""New Machines that are remembered beside twice as many as there were."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one Machine is, and whose node it is."""

    cluster: str
    addresses: tuple[str, ...]


class Machines:
    """What is known of Machines; a Cluster is woken when an address of one of its own changes."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Place]] = {}
        """By namespace and name; of namespaces that were listed."""
        self._listed_at: dict[str, float] = {}
        self._room: dict[str, int] = {}
        """How many Machines of a namespace are remembered."""
        self._asked: dict[str, set[str]] = {}
        """Clusters that have asked, by namespace."""

    def changed(self, manifest: Manifest) -> Iterable[Key]:
        """The key function of the runtime's wake: its Cluster, if that is of any interest."""
        meta = manifest["metadata"]
        known = self._known.get(str(meta["namespace"]))
        if known is None:
            return []  # Nobody has asked yet.
        found, name = place(manifest), str(meta["name"])
        if known.get(name) == found:
            return []
        known[name] = found
        namespace = str(meta["namespace"])
        if len(known) <= self._room[namespace]:
            return [(namespace, found.cluster)]
        # Most of them must be gone, while no Cluster has asked: they are listed anew by who does.
        del self._known[namespace], self._listed_at[namespace], self._room[namespace]
        return [(namespace, cluster) for cluster in sorted(self._asked.get(namespace, ()))]

    async def of(self, kube: Kube, key: Key, clock: Clock) -> tuple[str, ...]:
        """Addresses of all Machines of a Cluster, sorted. Raises `KubeError`."""
        namespace, cluster = key
        self._asked.setdefault(namespace, set()).add(cluster)
        now = clock.monotonic()
        if now - self._listed_at.get(namespace, float("-inf")) > REFRESH:
            listed = await kube.list(MACHINE, namespace, unread=FREE_FORM, keep=_gist, shared=True)
            self._known[namespace] = {str(m["metadata"]["name"]): place(m) for m in listed}
            self._listed_at[namespace] = now
            self._room[namespace] = 2 * len(listed) + SPARE
        mine = (p.addresses for p in self._known[namespace].values() if p.cluster == cluster)
        return tuple(sorted({one for addresses in mine for one in addresses}))

    def forget(self, key: Key) -> None:
        """A Cluster is gone.

        With the last one of a namespace its Machines are forgotten, which nobody would strike.
        """
        namespace, cluster = key
        left = self._asked.get(namespace, set())
        left.discard(cluster)
        if not left:
            self._asked.pop(namespace, None)
            self._known.pop(namespace, None)
            self._listed_at.pop(namespace, None)
            self._room.pop(namespace, None)


def _gist(manifest: Manifest) -> Manifest:
    """Without what takes room and is of no interest here."""
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    return {
        "metadata": {"name": manifest["metadata"]["name"]},
        "spec": {key: spec.get(key) for key in ("address", "addresses", "cluster")},
        "status": {"facts": status.get("facts")},
    }


def place(manifest: Manifest) -> Place:
    """What matters of a Machine: the addresses that its author wrote.

    Where he wrote a name and nothing else, the host tells the address that it has towards the
    cluster. What a host tells opens no more than that one.
    """
    spec: dict[str, Any] = manifest.get("spec") or {}
    facts: dict[str, Any] = (manifest.get("status") or {}).get("facts") or {}
    written = _addresses([spec.get("address"), *(spec.get("addresses") or ())])
    told = _addresses((facts.get("addresses") or ())[:1])
    return Place(str(spec.get("cluster") or ""), written or told)


def _addresses(texts: Iterable[object]) -> tuple[str, ...]:
    found = (address(str(text or "")) for text in texts)
    return tuple(dict.fromkeys(str(net.network_address) for net in found if net is not None))
