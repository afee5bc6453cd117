"""A Cluster that is upgraded, and an operator that makes one pass after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.unit.operators.cluster.builders import (
    NOW,
    a_cluster,
    a_deployment,
    a_view,
    an_addon,
    an_etcd,
)

from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.cluster.status import ClusterStatus
from kok.api.cluster.upgrade import UpgradeFinding
from kok.api.meta import Manifest
from kok.kube.lists.tolerant import listed
from kok.operators.cluster.cluster.decide import decide, running_version
from kok.operators.cluster.cluster.observe import BackupSeen, ClusterView, OtherAddons
from kok.operators.cluster.cluster.operations import upgrade_gates
from kok.operators.cluster.cluster.operations.upgrade import Upgrade
from kok.operators.cluster.naming import COMPONENTS
from kok.runtime.policy import Policies

OLD, NEW = "1.36.4", "1.37.1"
ERROR = UpgradeFinding(check="NodeSkew", severity="Error", object="1.30.1", message="too old")
STORE = {"store": {"volume": {"claim": "backups"}}}


@dataclass
class World:
    """A Cluster, its Deployments, and an operator that makes one pass after the other."""

    spec: dict[str, Any]
    status: dict[str, Any]
    annotations: dict[str, str] = field(default_factory=dict)
    components: dict[str, str] = field(default_factory=lambda: dict.fromkeys(COMPONENTS, OLD))
    rolling: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    """Versions that never get ready."""
    addons: str | None = OLD
    """The version that its Addon was rendered for; None where it has none."""
    before: bool = False
    """Whether these go before the control plane."""
    others: list[Manifest] = field(default_factory=list)
    """Addons for the Cluster that people made."""
    unread: bool = False
    """Whether nobody has looked for these."""
    etcd: str = "3.6.10"
    findings: tuple[UpgradeFinding, ...] = ()
    backup: BackupSeen | None = None
    etcd_asleep: bool = False
    now: datetime = NOW
    steps: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    @property
    def cluster(self) -> Cluster:
        return a_cluster(status=self.status, annotations=self.annotations, **self.spec)

    @property
    def view(self) -> ClusterView:
        made = [
            a_deployment(name, version=version, ready=0 if name in self.rolling else 1)
            for name, version in self.components.items()
        ]
        addons = []
        if self.addons is not None:
            addons = [an_addon("coredns")]
            addons[0]["status"]["kubernetesVersion"] = self.addons
            if self.before:
                addons[0]["spec"]["upgrade"] = "Before"
        etcd = an_etcd(version=self.etcd, ready=not self.etcd_asleep)
        etcd["status"]["version"] = self.etcd
        if self.etcd_asleep:
            etcd["status"]["hibernation"] = {"step": "Asleep"}
        others = None if self.unread else OtherAddons(listed(Addon, self.others))
        return a_view(etcd, *addons, *made, upgrade_backup=self.backup, others=others)

    def tick(self, *, seconds: float = 1.0, dies: bool = False) -> Upgrade:
        """One pass; an operator that `dies` has recorded what it must, and done nothing."""
        self.now += timedelta(seconds=seconds)
        cluster, view = self.cluster, self.view
        decided = decide(cluster, view, Policies(), self.now)
        found = decided.upgrade
        status = cluster.status.model_copy(deep=True)
        status.upgrade, status.lowest_version = found.status, found.lowest
        if found.ended is not None:
            status.last_upgrade = found.ended
            self.ended.append(found.ended.result)
        if found.status is not None and self.steps[-1:] != [found.status.step]:
            self.steps.append(found.status.step)
        if not dies:
            self._act(decided.versions_once_answering, found)
            if found.at(upgrade_gates.PREFLIGHT) and status.upgrade is not None:
                status.upgrade.findings = list(self.findings)
        status.version = running_version(cluster, self.view)
        self.status = status.manifest()
        return found

    def _act(self, wanted: Any, found: Upgrade) -> None:
        for name, version in wanted.items():
            if self.components[name] != version:
                self.components[name] = version
                self.rolling.add(name)
        if found.at(upgrade_gates.BACKUP) and self.backup is None and found.status is not None:
            name = found.status.backup or ""
            self.backup = BackupSeen(name, proven=False, failed=False, message="runs", steps=0)

    def go(self) -> None:
        """All that is under way ends well, but for what is broken."""
        self.rolling = {name for name in self.rolling if self.components[name] in self.broken}
        self.addons = self.addons and (self.parsed.version or self.addons)
        if self.backup is not None:
            self.backup = BackupSeen(
                self.backup.name, proven=True, failed=False, message="", steps=2
            )

    @property
    def parsed(self) -> ClusterStatus:
        return ClusterStatus.model_validate(self.status)

    def settle(self, most: int = 60) -> None:
        for _ in range(most):
            self.tick()
            self.go()


def a_world(to: str = NEW, running: str = OLD, **spec: Any) -> World:
    status = {
        "version": running,
        "components": [{"name": c, "version": running} for c in COMPONENTS],
    }
    return World(
        {"version": to, **spec},
        status,
        components=dict.fromkeys(COMPONENTS, running),
        addons=running,
    )


def upgrading(step: str, **changes: Any) -> dict[str, Any]:
    """`status.upgrade` at a step."""
    at = "2026-01-01T00:00:00Z"
    versions = {"from": OLD, "to": NEW, "hop": NEW, "hopFrom": OLD}
    return {**versions, "step": step, "since": at, "movedAt": at, **changes}


def somebodys(name: str = "cni", **changes: Any) -> Manifest:
    """An Addon that somebody made for the Cluster, applied and healthy at the old version."""
    addon = an_addon(name, healthy=changes.pop("healthy", True))
    addon["metadata"] = {"name": name, "namespace": "team-a", "generation": 1}
    addon["spec"] = {"cluster": "shop", "source": {"configMap": name}, **changes}
    addon["status"]["kubernetesVersion"] = OLD
    return addon
