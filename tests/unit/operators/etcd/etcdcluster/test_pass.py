"""A pass over an EtcdCluster: decided without a trace, recorded before it acts, told at its end."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.etcd.builders import (
    CLUSTER_ID,
    NOW,
    a_world,
    an_etcd,
    doing,
    formed,
    says,
    wants,
)
from tests.unit.operators.etcd.etcdbackup.builders import a_pass

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.operators.etcd.etcdcluster.conditions.report import tell
from kok.operators.etcd.etcdcluster.decide import Decision
from kok.operators.etcd.etcdcluster.observe import View
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.reconcile import EtcdClusters
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reasons import OPERATION_BEGUN, OPERATION_FINISHED
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
    assert found.status.cluster_id == CLUSTER_ID
    assert found.latched


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
    assert decision.status.members, "what acting changes is not what was decided by"


def begun(obj: EtcdCluster, kube: Kube, **more: Any) -> Decision:
    """What is decided of one whose three members are well."""
    p = a_pass(obj, kube)
    p.paused = bool(more.pop("paused", False))
    return EtcdClusters().decide(p, View(a_world(formed()), **more))


def test_an_operation_is_recorded_before_anything_is_done_for_it(kube: Kube) -> None:
    found = begun(wants(formed(), 1), kube)

    assert found.status.operation is not None
    assert found.status.operation.type == "Shrink"
    assert found.latched
    assert not found.anew
    assert [event.reason for event in found.events] == [OPERATION_BEGUN]


def test_an_operation_that_has_ended_is_told_of(kube: Kube) -> None:
    found = begun(doing(formed(), "Defragment"), kube)

    assert found.status.operation is None
    assert [event.reason for event in found.events] == [OPERATION_FINISHED]


def test_new_members_are_recorded_only_when_their_names_are_known_to_be_free(kube: Kube) -> None:
    found = begun(wants(formed(), 5), kube)

    assert found.action is not None
    assert found.action.states
    assert found.status.operation is None
    assert len(found.status.members) == 3
    assert not found.latched


def test_a_step_of_a_sleep_is_all_that_a_pass_begins(kube: Kube) -> None:
    found = begun(wants(formed(hibernate=True), 1), kube)

    assert found.status.hibernation is not None
    assert found.status.hibernation.step == "Stopping"
    assert found.status.operation is None, "it is seen anew, and waits until the members are back"
    assert found.latched
    assert found.anew
    assert [event.reason for event in found.events] == [reasons.HIBERNATION]


def test_volumes_that_are_taken_over_are_recorded_and_all_is_seen_anew(kube: Kube) -> None:
    obj = formed()
    world = a_world(obj)
    obj.status = type(obj.status)()
    claims = {key: m for key, m in world.children.items() if key[0] == "PersistentVolumeClaim"}
    p = a_pass(obj, kube)

    found = EtcdClusters().decide(p, View(Observed(claims)))

    assert found.anew
    assert found.status.cluster_id == CLUSTER_ID
    assert [m.id for m in found.status.members] == ["id-0", "id-1", "id-2"]
    assert [event.reason for event in found.events] == [reasons.VOLUMES_ADOPTED]


@pytest.mark.parametrize(
    "more", [{"paused": True}, {"unread": GONE}], ids=["while paused", "of what cannot be read"]
)
def test_nothing_is_begun(more: dict[str, Any], kube: Kube) -> None:
    for obj in (wants(formed(), 1), formed(hibernate=True)):
        found = begun(obj, kube, **more)

        assert (found.status.operation, found.status.hibernation) == (None, None)
        assert not found.latched
        assert not found.events


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
