"""A pass over an EtcdCluster: decided without a trace, recorded before it acts, told at its end."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.etcd.builders import CLUSTER_ID, NOW, a_world, an_etcd, formed, says
from tests.unit.operators.etcd.etcdbackup.builders import a_pass

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.operators.etcd.etcdcluster.conditions.report import tell
from kok.operators.etcd.etcdcluster.decide import Decision
from kok.operators.etcd.etcdcluster.observe import View
from kok.operators.etcd.etcdcluster.reconcile import EtcdClusters
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass

GONE = KubeError(503, "ServiceUnavailable", "the API server is away")


class Seeing(EtcdClusters):
    """Sees what it is given, and does what it is told to."""

    def __init__(self, view: View, failure: Exception | None = None) -> None:
        super().__init__()
        self.view = view
        self.failure = failure

    async def observe(self, p: Pass[EtcdCluster]) -> View:
        del p
        return self.view

    async def act(
        self, p: Pass[EtcdCluster], view: View, decision: Decision, outcome: Outcome
    ) -> float | None:
        if self.failure is not None:
            raise self.failure
        return await super().act(p, view, decision, outcome) if view.unread else None


def forming() -> EtcdCluster:
    """One whose members answer for the first time."""
    obj = formed()
    obj.status.cluster_id = None
    for member in obj.status.members:
        member.id = None
    return obj


def told(p: Pass[EtcdCluster], type_: str = reasons.READY) -> tuple[str, str]:
    found = p.status.condition(type_)
    assert found is not None
    return found.status, found.reason


async def test_deciding_leaves_no_trace(kube: Kube) -> None:
    obj = forming()
    p = a_pass(obj, kube)
    before = p.status.model_dump(), obj.model_dump()

    found = EtcdClusters().decide(p, View(a_world(obj)))

    assert (p.status.model_dump(), obj.model_dump()) == before
    assert found.known.status.cluster_id == CLUSTER_ID
    assert found.learnt


async def test_what_was_learnt_is_recorded_before_anything_is_said(kube: Kube) -> None:
    obj = forming()
    p, clusters, view = a_pass(obj, kube), EtcdClusters(), View(a_world(obj))
    decision = clusters.decide(p, view)

    assert clusters.record(p, view, decision), "it is written before the pass acts"

    assert p.status.cluster_id == CLUSTER_ID
    assert [m.id for m in p.status.members] == ["id-0", "id-1", "id-2"]
    assert p.status.conditions == []
    assert p.status.phase is None
    p.status.members.clear()
    assert decision.known.status.members, "what acting changes is not what was decided by"


@pytest.mark.parametrize("failure", [None, GONE], ids=["done", "failed"])
async def test_conditions_are_told_whatever_came_of_it(
    kube: Kube, failure: KubeError | None
) -> None:
    obj = formed()
    p = a_pass(obj, kube)
    clusters = Seeing(View(a_world(obj, {0: says(0), 1: says(1)}, p2=None)), failure)

    if failure is None:
        await clusters.reconcile(p)
    else:
        with pytest.raises(KubeError, match="is away"):
            await clusters.reconcile(p)

    assert told(p, reasons.AVAILABLE) == ("True", reasons.QUORUM)
    assert told(p)[0] == "False"
    assert p.status.phase == "Degraded"
    assert p.status.ready_members == 2


async def test_members_are_told_of_though_backups_cannot_be_read(kube: Kube) -> None:
    obj = formed(backup={"schedule": "0 * * * *", "store": {"volume": {"claim": "backups"}}})
    p = a_pass(obj, kube)
    p.status.set_condition(
        reasons.BACKUPS_HEALTHY, True, reasons.BACKED_UP, "", now=NOW, generation=1
    )

    with pytest.raises(KubeError, match="is away"):
        await Seeing(View(a_world(obj), unread=GONE)).reconcile(p)

    assert told(p) == ("True", reasons.HEALTHY)
    assert told(p, reasons.BACKUPS_HEALTHY) == ("True", reasons.BACKED_UP), "as it was last known"


def said(outcome: Outcome, **verdicts: Any) -> EtcdCluster:
    """What is said after an action that grows the cluster."""
    obj = an_etcd()
    growing = Verdict(False, reasons.GROWING, "e-1 is made")
    obj.status.set_condition("Old", True, "Why", now=NOW)
    found = {reasons.READY: growing, **verdicts}
    tell(obj.status, found, "Growing", outcome, now=NOW, generation=3)
    return obj


def test_what_etcd_refused_is_said_of_the_action_that_is_told_of() -> None:
    for reason, words in ((reasons.GROWING, "e-1 is made; etcd is busy"), ("Other", "e-1 is made")):
        refused = Verdict(False, reason, "e-1 is made; etcd is busy")
        ready = said(Outcome(refused=refused)).status.condition(reasons.READY)
        assert ready is not None
        assert (ready.message, ready.observed_generation) == (words, 3)


def test_what_acting_found_out_counts_before_what_was_judged_and_may_take_it_away() -> None:
    found = Outcome({"Kept": Verdict(True, "Found"), "Old": None})

    status = said(found, Kept=Verdict(False, "Judged")).status

    kept = status.condition("Kept")
    assert kept is not None
    assert (kept.status, kept.reason) == ("True", "Found")
    assert status.condition("Old") is None
    assert status.phase == "Growing"
