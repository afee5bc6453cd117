"""The preflight of one pass: reads what it goes by, and says what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kok import versions
from kok.api.cluster.cluster import Cluster
from kok.api.cluster.status import CertificateStatus
from kok.api.cluster.upgrade import PreflightStatus, UpgradeFinding
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_PREFLIGHT
from kok.operators.cluster.businesscluster.connections import Connection
from kok.operators.cluster.businesscluster.look import BusinessLook, look
from kok.operators.cluster.businesscluster.reachability import Reachability
from kok.operators.cluster.cluster.observe import ClusterView
from kok.operators.cluster.cluster.operations.preflight.checks import check
from kok.operators.cluster.cluster.operations.preflight.facts import Facts
from kok.operators.cluster.cluster.operations.preflight.findings import in_order
from kok.operators.cluster.cluster.operations.preflight.probe_pods import ProbePods
from kok.operators.cluster.cluster.operations.preflight.probes import Probed
from kok.operators.cluster.cluster.operations.upgrade_addons import other_addons
from kok.operators.cluster.naming import API_SERVER
from kok.runtime.controller.reconciler import Pass

BY_PROBES = frozenset({"Room", "Images"})
"""Checks whose findings are those of probes."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a pass has found out before."""

    view: ClusterView
    reach: Reachability | None = None
    connection: Connection | None = None
    certificates: Sequence[CertificateStatus] = ()
    kubelets: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A version that is to be checked and not gone to."""

    version: str
    mark: str = ""
    """The annotation's value; empty where the spec asks."""

    @classmethod
    def of(cls, cluster: Cluster) -> Asked | None:
        """What the annotation says, else `spec.upgrade.preflight`; None if nobody asks."""
        mark = cluster.metadata.annotations.get(ANNOTATION_PREFLIGHT, "")[:253]
        if version := mark.partition(",")[0].strip()[:32]:
            return cls(version, mark)
        version = cluster.spec.upgrade.preflight or ""
        return cls(version) if version else None

    def is_due(self, cluster: Cluster) -> bool:
        """Once for each asking, each version and each change of the spec."""
        known, meta = cluster.status.preflight, cluster.metadata
        changed = cluster.status.observed_generation != meta.generation
        return known is None or (known.version, known.asked) != (self.version, self.mark) or changed


class Inspection:
    """The preflight of one pass over one Cluster."""

    def __init__(self, p: Pass[Cluster], around: Around) -> None:
        self._p = p
        self._around = around

    async def of_upgrade(self, version: str, probed: Probed) -> list[UpgradeFinding] | None:
        """What speaks against the version that is gone to; None as long as not all of it is known.

        What keeps the upgrade from being begun is said at once. Raises `KubeError`.
        """
        found = check(await self._facts(version, probed), version)
        if not probed.pending:
            return found
        found = in_order(self._p.obj, [*found, *self._still(version, probed)])
        return found if any(f.blocks for f in found) else None

    def _still(self, version: str, probed: Probed) -> list[UpgradeFinding]:
        """What an earlier probe met whose place another one has taken, as long as that is on its way."""
        upgrade = self._p.obj.status.upgrade
        # Of another version's probes nothing holds for this one.
        same = upgrade is not None and upgrade.hop == version
        before = upgrade.findings if upgrade is not None and same else None
        known = {(t.check, t.component) for t in probed.troubles}
        left = probed.components
        return [
            f
            for f in before or ()
            if f.check in BY_PROBES and f.object in left and (f.check, f.object) not in known
        ]

    async def dry_run(self, asked: Asked, probes: Sequence[Manifest]) -> PreflightStatus:
        """What speaks against a version, found out without changing anything. Raises `KubeError`."""
        pods = ProbePods(self._p.kube, self._p.obj, (), self._p.now)
        probed = await pods.ask(probes) if probes else None
        findings = check(await self._facts(asked.version, probed), asked.version)
        return PreflightStatus(
            version=asked.version,
            at=self._p.now.replace(microsecond=0),
            asked=asked.mark,
            passed=not any(f.blocks for f in findings),
            findings=findings,
        )

    async def _facts(self, version: str, probed: Probed | None) -> Facts:
        around, cluster = self._around, self._p.obj
        reach = around.reach
        answers = reach is not None and reach.outcome == "ok"
        own, others = around.view.addons(), around.view.others
        if others is None:
            others = await other_addons(self._p.kube, cluster)
        return Facts(
            cluster=cluster,
            now=self._p.now,
            running=cluster.status.version or "",
            etcd=around.view.etcd_contract(cluster.name),
            kubelets=around.kubelets,
            certificates=tuple(around.certificates),
            addons=(*own.objects, *others.found.objects),
            odd_addons=(*own.odd, *others.found.odd),
            more_addons=others.more,
            look=await self._look(version) if answers else None,
            probed=probed,
            unreachable=None if answers else (reach.message if reach else "no server is ready"),
        )

    async def _look(self, version: str) -> BusinessLook | None:
        connection, cluster = self._around.connection, self._p.obj
        if connection is None:
            return None
        try:
            removed = versions.removed_apis(cluster.status.version or version, version)
        except versions.UnknownVersion:
            return None
        server = self._around.view.running(cluster.name, API_SERVER)
        servers = server.ready if server is not None else 1
        return await look(connection, removed, max(1, servers), self._p.clock.monotonic())
