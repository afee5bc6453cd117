"""How a preflight goes on from pass to pass: who asks, what is recorded, and what is said meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.cluster.builders import NOW, a_cluster, a_view, an_etcd
from tests.unit.operators.cluster.cluster.operations.upgrade_world import somebodys

from kok.api.cluster.cluster import Cluster
from kok.kube.client import Kube
from kok.operators.cluster.businesscluster.reachability import Reachability
from kok.operators.cluster.cluster.conditions import upgrades
from kok.operators.cluster.cluster.observe import ClusterView
from kok.operators.cluster.cluster.operations import upgrade_calls
from kok.operators.cluster.cluster.operations.preflight.inspect import Around, Asked, Inspection
from kok.operators.cluster.cluster.operations.preflight.probes import Probed, Trouble
from kok.operators.cluster.cluster.operations.upgrade import Upgrade
from kok.operators.cluster.cluster.outcome import ClusterOutcome
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings

OLD, NEW = "1.36.4", "1.37.1"
ANNOTATION = "kok.dev/preflight"
ADDONS = "/apis/kok.dev/v1alpha1/namespaces/team-a/addons"
POD = {"kind": "Pod", "metadata": {"name": "probe"}}
ROOM = {"check": "Room", "severity": "Error", "object": "kube-scheduler", "message": "no room"}


def upgrading(step: str = "Preflight", **changes: Any) -> dict[str, Any]:
    moment = NOW.isoformat()
    now = {"from": OLD, "to": NEW, "hop": NEW, "hopFrom": OLD, "step": step}
    return {**now, "since": moment, "movedAt": moment, **changes}


def passing(kube: Kube | None, cluster: Cluster) -> Pass[Any]:
    return Pass(
        obj=cluster,
        status=cluster.status.model_copy(deep=True),
        kube=kube,  # type: ignore[arg-type]
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )


@pytest.mark.parametrize(
    ("note", "spec", "asked"),
    [
        (None, None, None),
        (None, NEW, Asked(NEW)),
        (NEW, None, Asked(NEW, NEW)),
        (f"{NEW},abc", OLD, Asked(NEW, f"{NEW},abc")),
        (" , ", NEW, Asked(NEW)),
    ],
)
def test_the_annotation_asks_as_the_spec_does(
    note: str | None, spec: str | None, asked: Asked | None
) -> None:
    annotations = {ANNOTATION: note} if note is not None else None
    upgrade = {"preflight": spec} if spec is not None else {}
    assert Asked.of(a_cluster(annotations=annotations, upgrade=upgrade)) == asked


@pytest.mark.parametrize(
    ("known", "due"),
    [
        (None, True),
        ({"version": NEW, "asked": f"{NEW},a"}, False),
        ({"version": NEW, "asked": f"{NEW},b"}, True),
        ({"version": OLD, "asked": f"{NEW},a"}, True),
    ],
)
def test_each_asking_is_answered_once(known: dict[str, Any] | None, due: bool) -> None:
    told = {"at": NOW.isoformat(), "passed": True, **known} if known else None
    status = {"observedGeneration": 1, **({"preflight": told} if told else {})}
    assert Asked(NEW, f"{NEW},a").is_due(a_cluster(status=status)) is due
    assert Asked(NEW, f"{NEW},a").is_due(a_cluster(status={**status, "observedGeneration": 0}))


def record(
    upgrade: dict[str, Any] | None, probes: dict[str, Any] | None, *there: Any, **spec: Any
) -> tuple[Any, bool]:
    """What is recorded of probes, and whether before anything else is done."""
    status = {key: v for key, v in (("upgrade", upgrade), ("probes", probes)) if v is not None}
    cluster = a_cluster(status=status, **spec)
    p = passing(None, cluster)
    latched = upgrade_calls.record(p, Upgrade(cluster.status.upgrade), a_view(probes=there))
    return p.status.probes, latched


def test_that_there_may_be_probes_is_recorded_from_before_the_first_until_after_the_last() -> None:
    since = NOW.isoformat()
    known = {"version": NEW, "since": since, "passed": ["probe"]}
    probes, latched = record(upgrading(), None)
    assert (probes.version, probes.passed, latched) == (NEW, [], True)
    probes, latched = record(upgrading(), known)
    assert (probes.passed, latched) == (["probe"], False)
    # Another version, or long ago: what was found then holds no more.
    assert record(upgrading(), {**known, "version": OLD})[0].passed == []
    old = (NOW - timedelta(hours=2)).isoformat()
    assert record(upgrading(), {**known, "since": old})[0].passed == []
    for over in (upgrading("Backup"), None):
        assert record(over, known, POD)[0] is not None
        assert record(over, known)[0] is None
    assert record(upgrading(), None, hibernate=True)[0] is None


def inspection(cluster: Cluster, view: ClusterView | None = None) -> Inspection:
    around = Around(view or a_view(an_etcd()), Reachability("ok"))
    return Inspection(passing(None, cluster), around)


STORED: dict[str, Any] = {"etcd": {"backup": {"store": {"volume": {"claim": "backups"}}}}}


async def test_errors_are_said_at_once_and_the_rest_when_all_is_known() -> None:
    cluster = a_cluster(status={"version": OLD, "upgrade": upgrading()}, **STORED)
    waiting = Probed(pending=("a",), wanted=2)
    assert await inspection(cluster).of_upgrade(NEW, waiting) is None
    assert await inspection(cluster).of_upgrade(NEW, Probed(passed=("a",), wanted=1)) == []
    trouble = Probed(pending=("a",), troubles=(Trouble("Room", "kube-apiserver", "no"),), wanted=2)
    [found] = await inspection(cluster).of_upgrade(NEW, trouble) or []
    assert found.object == "kube-apiserver"


async def test_what_was_found_stays_while_it_is_tried_again() -> None:
    status = {"version": OLD, "upgrade": upgrading(findings=[ROOM])}
    again = Probed(pending=("a",), components=frozenset({"kube-scheduler"}), wanted=1)
    [found] = await inspection(a_cluster(status=status, **STORED)).of_upgrade(NEW, again) or []
    assert found.message == "no room"
    other = Probed(pending=("a",), components=frozenset({"kube-apiserver"}), wanted=1)
    assert await inspection(a_cluster(status=status, **STORED)).of_upgrade(NEW, other) is None
    # What was found of one version says nothing of the next one that is asked for.
    later = "1.37.98"
    assert await inspection(a_cluster(status=status, **STORED)).of_upgrade(later, again) is None


async def test_a_dry_run_answers_whoever_asked(api: FakeApi, kube: Kube) -> None:
    cluster = a_cluster(status={"version": OLD}, **STORED)
    around = Around(a_view(an_etcd()), Reachability("ok"))
    answer = await Inspection(passing(kube, cluster), around).dry_run(Asked(NEW, f"{NEW},a"), [])
    assert (answer.version, answer.asked, answer.passed) == (NEW, f"{NEW},a", True)
    assert api.writes == []


async def test_addons_that_people_made_are_looked_at(api: FakeApi, kube: Kube) -> None:
    api.put(f"{ADDONS}/cni", somebodys(kubernetes=">=1.34 <1.37"))
    cluster = a_cluster(status={"version": OLD}, **STORED)
    # A pass before an upgrade has not read them.
    around = Around(a_view(an_etcd(), others=None), Reachability("ok"))
    inspection = Inspection(passing(kube, cluster), around)
    answer = await inspection.dry_run(Asked(NEW), [])
    assert [(f.check, f.object) for f in answer.findings] == [("AddonVersion", "cni")]
    assert not answer.passed
    found = await inspection.of_upgrade(NEW, Probed(passed=("a",), wanted=1))
    assert found == answer.findings


def test_what_is_waited_for_is_said() -> None:
    cluster = a_cluster(status={"upgrade": upgrading(findings=[ROOM])})
    status = cluster.status.model_copy(deep=True)
    found = ClusterOutcome(a_view(), upgrade=Upgrade(status.upgrade))
    found.probed = Probed(pending=("a",), wanted=3)
    upgrades.note(status, cluster, found)
    assert status.upgrade is not None
    assert status.upgrade.findings is None
    assert status.upgrade.waiting_for.startswith(
        f"the preflight for {NEW}: pods that try its images"
    )
