"""What other operators read of an EtcdCluster, and nothing else: what the etcd operator keeps to.

Read from the object as it is stored, not by its model: whoever may write it may have written what does
not fit, and that must not keep a control plane from being looked after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from kok.api import conditions
from kok.api.meta import Manifest


@dataclass(frozen=True, slots=True)
class ContractCondition:
    """One condition, as far as anybody else is concerned."""

    holds: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Restoring:
    """A restore that is under way."""

    name: str
    """The EtcdRestore."""
    step: str


@dataclass(frozen=True, slots=True)
class EtcdContract:
    """One EtcdCluster as its users see it."""

    version: str | None = None
    """That of the spec, such as 3.6.10."""
    runs: str | None = None
    """The lowest version among its members."""
    updated: int = 0
    """How many members have the version of the spec."""
    proven_at: datetime | None = None
    """When the newest backup was complete, if it was proven that it can be restored."""
    told_to_sleep: bool = False
    """Whether `spec.hibernate` is true."""
    hibernation: str | None = None
    """The step of its hibernation; None for one that is awake."""
    restoring: Restoring | None = None
    restored: str | None = None
    """UID of the EtcdRestore from which its data comes."""
    clients: str | None = None
    """What API servers are to be restarted for, since its CA is or was rotated."""
    conditions: Mapping[str, ContractCondition] = field(default_factory=dict)
    """Conditions by type."""

    @classmethod
    def of(cls, live: Manifest | None) -> Self:
        """What an object says; of one that is not there what an empty one would."""
        spec, status = _map(live, "spec"), _map(live, "status")
        under_way = _map(status, "restore")
        return cls(
            version=_text(spec, "version"),
            runs=_text(status, "version"),
            updated=_updated(status.get("members"), _text(spec, "version")),
            proven_at=_proven(_map(status, "lastBackup"), _map(status, "lastVerified")),
            told_to_sleep=spec.get("hibernate") is True,
            hibernation=_text(_map(status, "hibernation"), "step"),
            restoring=Restoring(_text(under_way, "name") or "", _text(under_way, "step") or "")
            if under_way
            else None,
            restored=_text(_map(status, "restored"), "uid"),
            clients=_text(_map(status, "caRotation"), "clients"),
            conditions=_conditions(status.get("conditions")),
        )

    @property
    def serves(self) -> bool:
        """Whether an API server that starts now finds etcd at its first try."""
        return any(
            type_ in self.conditions and self.conditions[type_].holds
            for type_ in (conditions.AVAILABLE, conditions.READY)
        )

    @property
    def is_asleep(self) -> bool:
        """Whether no member runs, as it was told."""
        return self.hibernation == "Asleep"


def _conditions(found: Any) -> dict[str, ContractCondition]:
    listed = found if isinstance(found, list) else ()
    return {
        str(one.get("type")): ContractCondition(
            one.get("status") == "True", _text(one, "reason") or "", _text(one, "message") or ""
        )
        for one in listed
        if isinstance(one, dict)
    }


def _updated(members: Any, version: str | None) -> int:
    listed = members if isinstance(members, list) else ()
    return sum(isinstance(one, dict) and one.get("version") == version for one in listed)


def _proven(backup: Mapping[str, Any], proof: Mapping[str, Any]) -> datetime | None:
    """When the newest backup was complete; None unless the latest proof is of that one."""
    if not backup or _text(backup, "name") != _text(proof, "name"):
        return None
    try:
        found = datetime.fromisoformat(_text(backup, "at") or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _map(of: Any, key: str) -> Mapping[str, Any]:
    found = of.get(key) if isinstance(of, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _text(of: Mapping[str, Any], key: str) -> str | None:
    found = of.get(key)
    return str(found) if found else None
