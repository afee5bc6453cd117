"""The members' volumes and their StorageClasses: what can be bound, and what can grow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Forbidden
from kok.kube.objects.quantity import parse_quantity


@dataclass(frozen=True, slots=True)
class Storage:
    """What StorageClasses mean for the volumes."""

    problem: str | None = None
    """Why volumes that are not bound cannot be, if that is plain to see."""
    fixed: frozenset[str] = frozenset()
    """StorageClasses of volumes that are to grow and cannot."""


async def ask_storage(obj: EtcdCluster, claims: Iterable[Manifest], kube: Kube) -> Storage:
    """Looks at StorageClasses only where a volume waits for one, or is to grow."""
    problem: str | None = None
    fixed: set[str] = set()
    for claim in claims:
        name = claim["spec"].get("storageClassName")
        if (claim.get("status") or {}).get("phase") == "Pending":
            problem = problem or await _binding_problem(kube, name)
        elif name and requests_less(obj, claim) and not await _can_grow(kube, name):
            fixed.add(name)
    return Storage(problem, frozenset(fixed))


def requests_less(obj: EtcdCluster, claim: Manifest) -> bool:
    """Whether a volume was asked for smaller than `spec.storage.size` says now."""
    asked = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage")
    return asked is not None and parse_quantity(asked) < parse_quantity(obj.spec.storage.size)


def capacity(claim: Manifest | None) -> str | None:
    """How large a volume is; None if nobody says."""
    found = (((claim or {}).get("status") or {}).get("capacity") or {}).get("storage")
    return str(found) if found is not None else None


def is_smaller(obj: EtcdCluster, claim: Manifest) -> bool:
    """Whether a volume is smaller than `spec.storage.size` says."""
    size = capacity(claim)
    return size is not None and parse_quantity(size) < parse_quantity(obj.spec.storage.size)


async def _binding_problem(kube: Kube, name: str | None) -> str | None:
    if name is None:
        return (
            "the meta cluster has no default StorageClass; set one, or set spec.storage.className"
        )
    if name and await _storage_class(kube, name) is None:
        return (
            f"StorageClass {name} does not exist; create it, or set another spec.storage.className"
        )
    return None


async def _can_grow(kube: Kube, name: str) -> bool:
    found = await _storage_class(kube, name)
    return found is not None and bool(found.get("allowVolumeExpansion", False))


async def _storage_class(kube: Kube, name: str) -> Manifest | None:
    """The StorageClass; one that allows everything where only our namespaces may be seen."""
    try:
        return await kube.get(kinds.STORAGECLASS, name)
    except Forbidden:
        return {"allowVolumeExpansion": True}
