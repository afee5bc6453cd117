"""What a fleet reads of a Cluster is what the models write, and nothing that does not fit is in its way."""

from __future__ import annotations

from datetime import UTC, datetime

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.contract import PATIENCE, ClusterContract, Ended, Said, UnderWay
from kok.api.cluster.status import ClusterStatus
from kok.api.cluster.upgrade import LastUpgrade, Raised, UpgradeStatus

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
META = {
    "namespace": "team-a",
    "name": "shop",
    "uid": "uid-1",
    "resourceVersion": "17",
    "creationTimestamp": "2026-11-01T00:00:00Z",
    "labels": {"tier": "web"},
}


def test_what_is_said_of_an_earlier_spec_is_marked() -> None:
    status = ClusterStatus()
    status.set_condition("Ready", True, "Available", "fine", now=NOW, generation=3)
    for generation, current in ((3, True), (4, False)):
        meta = {**META, "generation": generation}
        found = ClusterContract.of({"metadata": meta, "status": status.manifest()}).ready
        assert found is not None
        assert found.current is current


def test_it_reads_what_the_models_write() -> None:
    status = ClusterStatus(
        version="1.37.0",
        raised=Raised(to="1.37.1", by="team-a/patch", at=NOW, nodes="Never"),
        upgrade=UpgradeStatus(
            from_="1.37.0",
            to="1.37.1",
            hop="1.37.1",
            hop_from="1.37.0",
            step="Preflight",
            since=NOW,
            moved_at=NOW,
            waiting_for="the preflight",
            blocked_by=["NodeSkew: w1 is too old"],
        ),
        last_upgrade=LastUpgrade(
            from_="1.36.4", to="1.37.0", since=NOW, ended=NOW, result="BackedOut"
        ),
    )
    status.set_condition("Ready", True, "Available", "fine", now=NOW)
    status.set_condition("Progressing", False, "UpgradeBlocked", "w1", now=NOW)
    spec = {
        "version": "1.37.0",
        "hibernate": True,
        "paused": True,
        "upgrade": {"chained": True, "fleet": "Forbid", "progressDeadline": "5m"},
    }
    live = Cluster.parse({"metadata": META, "spec": spec}).spec.manifest()
    found = ClusterContract.of({"metadata": META, "spec": live, "status": status.manifest()})

    assert found == ClusterContract(
        namespace="team-a",
        name="shop",
        uid="uid-1",
        resource_version="17",
        created=datetime(2026, 11, 1, tzinfo=UTC),
        deleting=False,
        labels={"tier": "web"},
        version="1.37.0",
        runs="1.37.0",
        raised="1.37.1",
        raised_by="team-a/patch",
        raised_at=NOW,
        chained=True,
        forbids=True,
        patience=300.0,
        paused=True,
        hibernates=True,
        upgrade=UnderWay("1.37.1", "Preflight", NOW, "the preflight", ("NodeSkew: w1 is too old",)),
        last=Ended("1.37.0", backed_out=True, ended=NOW, since=NOW),
        ready=Said(True, "Available", "fine", NOW),
        progressing=Said(False, "UpgradeBlocked", "w1", NOW),
    )
    assert found.key == "team-a/shop"


def test_what_does_not_fit_says_nothing() -> None:
    odd = {
        "metadata": {**META, "labels": None, "creationTimestamp": "soon", "deletionTimestamp": "x"},
        "spec": {"version": None, "upgrade": "now", "paused": "yes"},
        "status": {"raised": 3, "upgrade": {"movedAt": 7, "blockedBy": "x"}, "conditions": [3]},
    }
    found = ClusterContract.of(odd)

    assert (found.version, found.runs, found.raised, found.paused) == ("", "", "", False)
    assert found.deleting
    assert found.created is None
    assert found.upgrade == UnderWay("", "", None, "")
    assert found.patience == PATIENCE
    assert ClusterContract.of({"metadata": META}).upgrade is None
