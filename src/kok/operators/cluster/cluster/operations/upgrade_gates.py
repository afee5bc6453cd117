"""What each step of an upgrade waits for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kok import versions
from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.cluster.upgrade import Step, UpgradeStatus
from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.observe import ClusterView, Running
from kok.operators.cluster.cluster.spec.target import (
    etcd_wanted,
    is_above,
    nodes_held,
    number,
)
from kok.operators.cluster.naming import API_SERVER, CONTROLLER_MANAGER, SCHEDULER

PREFLIGHT: Final = "Preflight"
BACKUP: Final = "Backup"
ETCD: Final = "Etcd"
ADDONS_BEFORE: Final = "AddonsBefore"
SERVERS: Final = "APIServer"
CONTROLLERS: Final = "Controllers"
ADDONS: Final = "Addons"
NODES: Final = "Nodes"
BACKED_OUT: Final = "BackedOut"
STEPS: Final[tuple[Step, ...]] = (
    PREFLIGHT,
    BACKUP,
    ETCD,
    ADDONS_BEFORE,
    SERVERS,
    CONTROLLERS,
    ADDONS,
    NODES,
)
ADDONS_UNREAD: Final = "what Addons there are"
"""What is waited for in a pass that came to a step of Addons without having read them."""
ADDON_HEALTH: Final = "AddonHealth"
"""The check that names Addons which were sick before the upgrade: they stay as sick as they were."""
ADDON_VERSION: Final = "AddonVersion"
"""The check that names Addons which are not for the version: none is rendered for it."""
FRESH = timedelta(hours=1)
"""How old a proven backup may be to be one of just before the upgrade."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a step waits for."""

    text: str
    progress: int = 0
    """More than before is progress."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the next step is decided by."""

    cluster: Cluster
    """With what was recorded."""
    view: ClusterView
    now: datetime

    @property
    def running(self) -> str:
        """The version that all of the control plane had last."""
        return self.cluster.status.version or ""

    def component(self, name: str) -> Running | None:
        """One component's Deployment."""
        return self.view.running(self.cluster.name, name)


def next_hop(runs: str, target: str) -> str:
    """The version to go to from what runs: no component skips a minor."""
    try:
        return versions.next_step(runs, target)
    except versions.UnknownVersion:
        return target


def too_old(cluster: Cluster, version: str) -> dict[str, int]:
    """Nodes, by the version of their kubelets, that may not serve under API servers of a version."""
    nodes = cluster.status.nodes
    found = nodes.versions if nodes is not None else {}
    return {
        kubelet: count
        for kubelet, count in found.items()
        if number(kubelet) is not None and versions.check_skew(kubelet, version) is not None
    }


def _preflight(inputs: Inputs, now: UpgradeStatus) -> Waiting | None:
    """Errors that nobody consented to."""
    del inputs
    if now.findings is None:
        return Waiting(f"the preflight for {now.hop}")
    if blocking := [f for f in now.findings if f.blocks]:
        more = f", and {len(blocking) - 1} more" if len(blocking) > 1 else ""
        return Waiting(f"{blocking[0].check}: {blocking[0].message}{more}", 1)
    return None


def _backup(inputs: Inputs, now: UpgradeStatus) -> Waiting | None:
    """A proof that the data can be restored, where there is a store."""
    proven = inputs.view.etcd_contract(inputs.cluster.name).proven_at
    if inputs.cluster.spec.etcd.backup is None:
        return None
    if proven is not None and timedelta() <= inputs.now - proven < FRESH:
        return None
    made = inputs.view.upgrade_backup
    if made is None or made.name != now.backup:
        return Waiting(f"EtcdBackup {inputs.cluster.namespace}/{now.backup} is being made")
    if made.proven:
        return None
    again = "; mend that, and delete it: then another one is made" if made.failed else ""
    text = f"EtcdBackup {inputs.cluster.namespace}/{made.name}: {made.message}{again}"
    return Waiting(text, made.steps)


def _etcd(inputs: Inputs, now: UpgradeStatus) -> Waiting | None:
    """etcd at its version, and able to serve."""
    said = inputs.view.etcd_contract(inputs.cluster.name)
    wanted = etcd_wanted(inputs.cluster, said.version, now.hop)
    where = f"EtcdCluster {inputs.cluster.namespace}/{inputs.cluster.name}-etcd"
    ready = said.conditions.get(reasons.READY)
    if said.runs is None or not is_above(wanted, said.runs):
        if said.serves:
            return None
        return Waiting(f"{where}: {ready.message if ready else 'it is not ready'}")
    return Waiting(f"{where} goes from {said.runs} to {wanted}", said.updated)


def _servers(inputs: Inputs, now: UpgradeStatus) -> Waiting | None:
    """All API servers at the new version, and answering."""
    return _rolled(inputs, now.hop, (API_SERVER,))


def _controllers(inputs: Inputs, now: UpgradeStatus) -> Waiting | None:
    return _rolled(inputs, now.hop, (CONTROLLER_MANAGER, SCHEDULER))


def _rolled(inputs: Inputs, version: str, components: tuple[str, ...]) -> Waiting | None:
    left, progress = [], 0
    for name in components:
        state = inputs.component(name)
        if state is None:
            left.append(f"{name} is not created yet")
        elif state.version != version or not state.complete:
            progress += state.ready + state.updated if state.version == version else 0
            left.append(f"{name} {state.updated}/{state.desired} updated, {state.ready} ready")
        else:
            progress += 2 * state.desired
    return Waiting(", ".join(left), progress) if left else None


def _addons_before(inputs: Inputs, now: UpgradeStatus) -> Waiting | None:
    """Addons that go before the control plane, and were rendered for what ran before."""
    return _late(inputs, now, {True})


def _addons(inputs: Inputs, now: UpgradeStatus) -> Waiting | None:
    """All Addons for the Cluster that were rendered for what ran before."""
    return _late(inputs, now, {True, False})


def _late(inputs: Inputs, now: UpgradeStatus, sorts: Collection[bool]) -> Waiting | None:
    """Those of the `sorts` that go before the control plane, or do not, and are not there yet."""
    others = inputs.view.others
    if others is None:
        return Waiting(ADDONS_UNREAD)
    # Of one that was never applied nothing is there that could break.
    theirs = (a for a in others.found.objects if a.status.kubernetes_version is not None)
    addons = [a for a in (*inputs.view.addons().objects, *theirs) if a.spec.goes_before in sorts]
    late = [
        f"Addon {inputs.cluster.namespace}/{addon.name}"
        for addon in addons
        if not _is_through(addon, now)
    ]
    count = len(addons) - len(late)
    return Waiting(", ".join(late[:8]), count) if late else None


def _is_through(addon: Addon, now: UpgradeStatus) -> bool:
    """Whether it is rendered for the version and as healthy as before, or nobody can wait for that."""
    found = {f.check for f in now.findings or () if f.object == addon.name}
    status, sick = addon.status, ADDON_HEALTH in found
    if status.kubernetes_version == now.hop:
        return sick or status.is_true(reasons.HEALTHY)
    health = status.condition(reasons.HEALTHY)
    # Its source is not there, it is refused, or it waits for another one: that is not for us to mend.
    renders = status.is_true(reasons.APPLIED) and health is not None and health.status != "Unknown"
    return addon.spec.paused or ADDON_VERSION in found or (sick and not renders)


def _nodes(inputs: Inputs, now: UpgradeStatus) -> Waiting | None:
    """Nodes that the next minor would leave too far behind; others follow when they can."""
    if now.hop == now.to or now.backing_out:
        return None
    following = next_hop(now.hop, now.to)
    old = too_old(inputs.cluster, following)
    if not old:
        return None
    told = ", ".join(f"{count} with kubelet {version}" for version, count in sorted(old.items()))
    nodes = inputs.cluster.status.nodes
    followed = (nodes.total if nodes is not None else 0) - sum(old.values())
    text = f"nodes that are too old for {following} to follow to {now.hop}: {told}"
    if (held := nodes_held(inputs.cluster)) is not None:
        text = (
            f"{text}; spec.nodes of FleetUpgrade {held.by} is {held.nodes}: write spec.version: {now.hop} "
            "into their KubeNodes"
        )
    return Waiting(text, max(0, followed))


GATES: Final[Mapping[str, Callable[[Inputs, UpgradeStatus], Waiting | None]]] = {
    PREFLIGHT: _preflight,
    BACKUP: _backup,
    ETCD: _etcd,
    ADDONS_BEFORE: _addons_before,
    SERVERS: _servers,
    CONTROLLERS: _controllers,
    ADDONS: _addons,
    NODES: _nodes,
}
