"""Reads what a pass over a FleetUpgrade looks at: Clusters, and other FleetUpgrades."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from kok.api.cluster.fleetupgrade import FleetUpgrade
from kok.api.meta import Manifest
from kok.api.shares import resolved
from kok.api.unreadable import Unreadable
from kok.kube.client import Kube
from kok.kube.decoding.truncation import ANYTHING
from kok.operators.cluster import reasons
from kok.operators.cluster.fleetupgrade.decide import asked_again, is_active
from kok.operators.cluster.fleetupgrade.decision import FleetView
from kok.operators.cluster.fleetupgrade.plan import waves_of
from kok.operators.cluster.fleetupgrade.waves import name_of
from kok.operators.cluster.staging.followed import EVERYWHERE, FollowedClusters
from kok.runtime.clock import Clock
from kok.runtime.controller.errors import Invalid
from kok.runtime.settings import Settings

FLEET = FleetUpgrade.info.kind
NAMED = 8
"""Namespaces that a sentence names at most."""
SPARE = 10
"""Clusters that are read beside those whose turn it is, as some of them may have to be skipped."""


def places_of(fleet: FleetUpgrade, settings: Settings) -> tuple[str, ...]:
    """Namespaces in which it selects. Raises `Invalid` if it may not, or cannot see all of them.

    Whoever may write in the namespace of the operators may do as they do; nobody else raises what is
    in another namespace than his own.
    """
    asked = fleet.spec.namespaces
    if not asked:
        return (fleet.namespace,)
    if fleet.namespace != settings.lease_namespace:
        raise Invalid(
            reasons.NAMESPACES_FORBIDDEN,
            f"spec.namespaces is for FleetUpgrades in namespace {settings.lease_namespace}, where the "
            "operators run; leave it out to select Clusters of this namespace",
        )
    served = {"*", *settings.namespaces} if settings.namespaces else set(asked)
    if unserved := [one for one in dict.fromkeys(asked) if one not in served]:
        more = f" and {len(unserved) - NAMED} more" if len(unserved) > NAMED else ""
        raise Invalid(
            reasons.NAMESPACES_NOT_SERVED,
            f"spec.namespaces names {', '.join(unserved[:NAMED])}{more}, which this operator does not "
            "look after: nothing is known of the Clusters there, and none is raised; add what is missing "
            "to the setting watchNamespaces, or create another FleetUpgrade without it",
        )
    if "*" in asked:
        return settings.namespaces or (EVERYWHERE,)
    return tuple(dict.fromkeys(asked))


async def observe(
    kube: Kube, fleet: FleetUpgrade, followed: FollowedClusters, clock: Clock, settings: Settings
) -> FleetView:
    """The Clusters, read again as far as they matter now; none at rest. Raises `KubeError`."""
    key = fleet.namespace, fleet.name
    if not is_active(fleet):
        # Also where it could not begin today: of one that has ended it stays said what came of it.
        followed.forget(key)
        return FleetView()
    try:
        places = places_of(fleet, settings)
    except Invalid as refused:
        followed.forget(key)
        return FleetView(refused=refused)
    needed, open_ = _needed(fleet)
    # Before anything is read: what changes from here on is not missed.
    followed.follow(key, places, open_)
    return FleetView(*await followed.read(kube, places, needed, clock))


def _needed(fleet: FleetUpgrade) -> tuple[set[str] | None, set[str]]:
    """Clusters whose state matters now, None for all, and those of which each change matters.

    What failed may be through after all at any time.
    """
    rows, status = fleet.status.table(), fleet.status
    open_ = {key for key, row in rows.items() if row.state in {"Upgrading", "Failed"}}
    if status.started_at is None or asked_again(fleet):
        return None, open_
    needed = set(open_)
    soaking = {w.name for w in status.waves if w.done is not None and w.soaked is None}
    needed |= {key for key, row in rows.items() if row.state == "Done" and row.wave in soaking}
    for wave in waves_of(fleet.spec):
        waiting = [
            key for key, row in rows.items() if row.wave == wave.name and row.state == "Waiting"
        ]
        if waiting:
            needed.update(waiting[: SPARE + resolved(wave.max_parallel, len(waiting))])
            break
    return needed, open_


@dataclass(frozen=True, slots=True)
class _Claim:
    """What another FleetUpgrade has."""

    uid: str
    name: str
    clusters: frozenset[str] = frozenset()


async def claims(
    kube: Kube, fleet: FleetUpgrade, places: Collection[str], settings: Settings
) -> Mapping[str, str]:
    """Clusters that other FleetUpgrades have which have not ended, and the name of each of these.

    Raises `KubeError`.
    """
    where = {EVERYWHERE} if EVERYWHERE in places else {*places, fleet.namespace}
    if EVERYWHERE not in where and settings.lease_namespace in (
        settings.namespaces or (settings.lease_namespace,)
    ):
        where.add(settings.lease_namespace)
    found: dict[str, str] = {}
    for place in sorted(where):
        listed = await kube.list(
            FLEET,
            place or None,
            unread=ANYTHING,
            keep=lambda live: {"it": _claim(live, settings.lease_namespace)},
            shared=True,
        )
        for one in listed:
            claim: _Claim = one["it"]
            if claim.uid != fleet.metadata.uid:
                found.update(dict.fromkeys(claim.clusters, claim.name))
    return found


def _claim(live: Manifest, everybodys: str) -> _Claim:
    """Of Clusters elsewhere only one in the namespace of the operators has any, whatever its status says."""
    uid = str(live["metadata"]["uid"])
    try:
        fleet = FleetUpgrade.parse(live)
    except Unreadable:
        return _Claim(uid, "")
    if fleet.deleting or fleet.status.ended_at is not None:
        return _Claim(uid, "")
    held = (
        key
        for key, row in fleet.status.table().items()
        if row.state != "Skipped"
        and (fleet.namespace == everybodys or key.startswith(f"{fleet.namespace}/"))
    )
    return _Claim(uid, name_of(fleet), frozenset(held))
