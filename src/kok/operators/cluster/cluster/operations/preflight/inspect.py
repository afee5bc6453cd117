"""Reads what the preflight goes by, and puts what it says into the outcome of a pass."""

from __future__ import annotations

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.upgrade import PreflightStatus
from kok.operators.cluster.cluster.decide import Decision
from kok.operators.cluster.cluster.operations.preflight.checks import check
from kok.operators.cluster.cluster.operations.preflight.facts import Facts
from kok.operators.cluster.cluster.operations.upgrade import PREFLIGHT
from kok.operators.cluster.cluster.outcome import ClusterOutcome
from kok.runtime.controller.reconciler import Pass


class Inspection:
    """The preflight of one pass over one Cluster."""

    def __init__(self, p: Pass[Cluster], found: ClusterOutcome) -> None:
        """What comes of it is put into `found`."""
        self._p = p
        self._found = found

    async def run(self, decision: Decision) -> None:
        """The preflight of the upgrade under way, and that of `spec.upgrade.preflight`."""
        now, asked = decision.upgrade.status, self._p.obj.spec.upgrade.preflight
        if now is not None and decision.upgrade.at(PREFLIGHT):
            self._found.findings = check(await self._facts(), now.hop)
        if asked is not None and self._is_due(asked):
            findings = check(await self._facts(), asked)
            self._found.preflight = PreflightStatus(
                version=asked,
                at=self._p.now.replace(microsecond=0),
                passed=not any(f.blocks for f in findings),
                findings=findings,
            )

    def _is_due(self, version: str) -> bool:
        """Once for each version and each change of the spec."""
        obj, known = self._p.obj, self._p.obj.status.preflight
        changed = obj.status.observed_generation != obj.metadata.generation
        return known is None or known.version != version or changed

    async def _facts(self) -> Facts:
        found, cluster = self._found, self._p.obj
        reach = found.reach
        answers = reach is not None and reach.outcome == "ok"
        return Facts(
            cluster=cluster,
            now=self._p.now,
            running=cluster.status.version or "",
            etcd=found.view.etcd_contract(cluster.name),
            kubelets=found.kubelets,
            certificates=tuple(found.certificates or cluster.status.certificates),
            addons=found.view.addons().objects,
            unreachable=None if answers else (reach.message if reach else "no server is ready"),
        )
