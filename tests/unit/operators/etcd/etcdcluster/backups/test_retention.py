"""What retention never takes: trials, restores and clocks cost no backup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.etcd.builders import NOW, formed, said_of
from tests.unit.operators.etcd.etcdbackup.builders import READY, a_backup, a_pass

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.store import EtcdBackupRetention
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.operators.etcd.backups import schedule, stored
from kok.operators.etcd.etcdcluster.backups import scheduled
from kok.operators.etcd.naming import ANNOTATION_VERIFY
from kok.runtime.settings import Settings

DAY, HOUR, YEARS = timedelta(days=1), timedelta(hours=1), timedelta(days=4 * 365)
AT = "/apis/kok.dev/v1alpha1/namespaces/team-a"
REFUTED = {"request": "now", "result": "Failed", "at": NOW.isoformat()}
PASSED = {**REFUTED, "result": "Passed"}
DOUBTED = [{**READY, "status": "False", "reason": "VerificationFailed", "message": "differs"}]


def daily(count: int, **more: Any) -> list[EtcdBackup]:
    """Good ones, `b0` the newest."""
    return [
        a_backup(f"b{n}", age=DAY * n, slot=NOW - DAY * n, phase="Complete", **more)
        for n in range(count)
    ]


def gone(backups: list[EtcdBackup], now: datetime = NOW, **keep: int) -> list[str]:
    found = schedule.expendable(backups, EtcdBackupRetention(**keep), now)
    return [b.name for b in found]


def etcd(last: int = 7, **more: Any) -> EtcdCluster:
    backup = {"schedule": "0 * * * *", "store": {"volume": {"claim": "c"}}, "keep": {"last": last}}
    obj = formed(backup={**backup, **more})
    obj.metadata.creation_timestamp = NOW - 60 * DAY
    obj.status.last_backup_slot = NOW
    return obj


async def kept(
    api: FakeApi,
    kube: Kube,
    backups: list[EtcdBackup],
    obj: EtcdCluster,
    now: datetime = NOW,
    watched: Sequence[str] = (),
) -> list[str]:
    """Names of the backups that are left after a pass."""
    api.script("GET", r"/apis/kok.dev/v1alpha1$", _kinds)
    for backup in backups:
        api.put(f"{AT}/etcdbackups/{backup.name}", manifest(backup))
    p = replace(a_pass(obj, kube, now), settings=Settings(namespaces=tuple(watched)))
    await scheduled.keep(p, obj, backups)
    left = await kube.list(scheduled.KIND, "team-a")
    return sorted(m["metadata"]["name"] for m in left)


async def _kinds(_request: web.Request) -> web.Response:
    known = {"kind": "EtcdBackup", "name": "etcdbackups", "namespaced": True}
    return web.json_response({"resources": [known]})


def manifest(backup: EtcdBackup) -> Manifest:
    return {**backup.manifest(), "apiVersion": "kok.dev/v1alpha1", "kind": "EtcdBackup"}


# --- trials


def test_a_refuted_backup_stays_as_long_as_a_good_one() -> None:
    refuted = [*daily(3, verification=REFUTED), *daily(30)[3:]]
    assert gone(refuted, last=7, days=30) == []
    assert gone(daily(9, verification=REFUTED), last=7) == ["b8", "b7"]


def test_one_that_was_refuted_pushes_out_no_good_one() -> None:
    assert gone([*daily(7, verification=REFUTED), *daily(12)[7:]], last=5) == ["b6", "b5"]


@pytest.mark.parametrize("result", ["Running", "Unknown"])
def test_a_trial_that_came_to_no_end_takes_back_neither_good_nor_bad(result: str) -> None:
    trial = {**REFUTED, "result": result}
    proven = a_backup(phase="Complete", verification=trial, provenAt=NOW.isoformat())
    refuted = a_backup(phase="Complete", verification=trial, conditions=DOUBTED)
    assert (stored.is_proven(proven), stored.is_good(proven)) == (True, True)
    assert (stored.is_proven(refuted), stored.is_good(refuted)) == (False, False)


def test_the_newest_proven_one_stays_while_it_cannot_be_tried_again() -> None:
    found = daily(4)
    found[3] = a_backup(
        "b3",
        age=3 * DAY,
        phase="Complete",
        verification={**REFUTED, "result": "Unknown"},
        provenAt=(NOW - DAY).isoformat(),
    )
    assert gone(found, last=1) == ["b2", "b1"]


@pytest.mark.parametrize("trial", [REFUTED, {**REFUTED, "result": "Unknown"}, PASSED])
async def test_the_newest_one_is_asked_again_and_not_the_one_before(
    api: FakeApi, kube: Kube, trial: dict[str, Any]
) -> None:
    backups = daily(3)
    backups[0] = a_backup("b0", slot=NOW, phase="Complete", verification=trial)

    await kept(api, kube, backups, etcd(verify="30 * * * *"))

    asked = [
        m["metadata"]["name"]
        for m in await kube.list(scheduled.KIND, "team-a")
        if ANNOTATION_VERIFY in m["metadata"]["annotations"]
    ]
    assert asked == ["b0"]


# --- restores


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"backup": "b7"}, {}),
        ({"backup": "b7"}, {"phase": "Verified"}),
        ({"store": {}, "key": "team-a/old.snapshot"}, {"phase": "Pending"}),
        ({"newestOf": "team-a/shop-etcd"}, {"source": {"key": "team-a/old.snapshot"}}),
        ({"backup": "b7", "etcdCluster": "another"}, {"phase": "Verifying"}),
    ],
    ids=["new", "proven", "by its key", "found in a store", "for another EtcdCluster"],
)
async def test_what_a_restore_is_about_to_use_stays(
    api: FakeApi, kube: Kube, spec: dict[str, Any], status: dict[str, Any]
) -> None:
    backups = daily(10)
    backups[7].status.key = "team-a/old.snapshot"
    restore = {"spec": {"etcdCluster": "shop-etcd", **spec}, "status": status}
    api.put(f"{AT}/etcdrestores/back", restore)

    left = await kept(api, kube, backups, etcd())

    assert "b7" in left
    assert {"b8", "b9"}.isdisjoint(left)


FAR = "/apis/kok.dev/v1alpha1/namespaces/team-b/etcdrestores"
MINE = "team-a/shop-etcd/20261025T120000Z-b7-abcdef01.snapshot"


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"key": MINE}, {}),
        ({"key": MINE}, {"phase": "Verified", "source": {"key": MINE}}),
        ({"newestOf": "team-a/shop-etcd"}, {"phase": "Verifying", "source": {"key": MINE}}),
    ],
    ids=["new", "proven", "found in a store"],
)
@pytest.mark.parametrize("watched", [[], ["team-a", "team-b"]])
async def test_what_is_about_to_be_restored_in_another_namespace_stays(
    api: FakeApi, kube: Kube, spec: dict[str, Any], status: dict[str, Any], watched: list[str]
) -> None:
    backups = daily(10)
    backups[7].status.key = MINE
    meta = {"namespace": "team-b"}
    api.put(f"{FAR}/back", {"metadata": meta, "spec": spec, "status": status})

    left = await kept(api, kube, backups, etcd(), watched=watched)

    assert "b7" in left
    assert {"b8", "b9"}.isdisjoint(left)


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"backup": "b7"}, {}),
        ({"key": MINE}, {"phase": "Complete"}),
        ({"key": MINE.replace("b7", "b6")}, {}),
    ],
    ids=["of its own namespace", "over", "another"],
)
async def test_what_others_restore_of_their_own_keeps_nothing(
    api: FakeApi, kube: Kube, spec: dict[str, Any], status: dict[str, Any]
) -> None:
    backups = daily(8)
    backups[7].status.key = MINE
    meta = {"namespace": "team-b"}
    api.put(f"{FAR}/back", {"metadata": meta, "spec": spec, "status": status})
    assert "b7" not in await kept(api, kube, backups, etcd())


async def test_who_makes_too_many_restores_does_not_fill_the_stores_of_others(
    api: FakeApi, kube: Kube
) -> None:
    async def endless(_request: web.Request) -> web.Response:
        return web.Response(body=b" " * (65 * 1024**2))

    api.script("GET", r"^/apis/kok.dev/v1alpha1/etcdrestores$", endless)
    assert "b7" not in await kept(api, kube, daily(8), etcd())


@pytest.mark.parametrize("phase", ["Complete", "Failed"])
async def test_after_the_restore_it_goes(api: FakeApi, kube: Kube, phase: str) -> None:
    api.put(f"{AT}/etcdrestores/back", {"spec": {"backup": "b7"}, "status": {"phase": phase}})
    assert "b7" not in await kept(api, kube, daily(8), etcd())


# --- clocks


def test_a_clock_that_jumps_makes_no_backup_old() -> None:
    assert gone(daily(30), NOW + YEARS, last=1, days=30) == []
    assert gone(daily(30), NOW - YEARS, last=1) == []
    assert gone(daily(30), NOW - 2 * DAY, last=7) == [f"b{n}" for n in range(29, 8, -1)]


def revised(name: str, age: timedelta, revision: int, **more: Any) -> EtcdBackup:
    told = {"revision": revision, "clusterID": "abc", **more}
    return a_backup(name, age=age, slot=NOW - age, phase="Complete", **told)


def test_what_was_made_while_all_clocks_were_behind_is_not_old() -> None:
    """Also that of the API server, as on the one node of a meta cluster."""
    before = [revised(f"b{n}", DAY + n * DAY, 100 - n) for n in range(8)]
    under = [revised(f"u{n}", 400 * DAY + n * HOUR, 200 - n) for n in range(5)]
    assert gone(before + under, last=7, days=30) == []
    later = [revised(f"l{n}", 20 * DAY - n * HOUR, 300 + n) for n in range(8)]
    old = [revised(f"o{n}", 40 * DAY + n * DAY, 50 - n) for n in range(2)]
    assert gone([*before, *under, *later, *old], last=7, days=30) == ["o1", "o0"]
    assert gone(before + under, NOW + 60 * DAY, last=5) == [f"b{n}" for n in range(7, -1, -1)]


def test_what_holds_more_of_another_etcd_cluster_makes_nothing_younger() -> None:
    old = revised("old", 90 * DAY, 900, clusterID="before")
    assert gone([revised("b0", DAY, 5), old], last=1) == ["old"]


def test_backups_of_an_etcd_at_rest_grow_old() -> None:
    idle = [revised(f"b{n}", n * DAY, 5) for n in range(34)]
    assert gone(idle, last=7, days=30) == ["b33", "b32", "b31", "b30"]


async def test_few_go_at_a_time_the_oldest_first(api: FakeApi, kube: Kube) -> None:
    backups = daily(9)
    assert await kept(api, kube, backups, etcd(last=1)) == [f"b{n}" for n in range(6)]
    backups[8].metadata.deletion_timestamp = NOW
    assert len(await kept(api, kube, backups, etcd(last=1))) == 9 - 2, "one is on its way"


@pytest.mark.parametrize(
    "told",
    [
        {"startedAt": "9998-01-01T00:00:00Z"},
        {"startedAt": "9998-01-01T00:00:00Z", "completedAt": "9998-01-01T00:00:00Z"},
        {"key": "team-a/shop/99980101T000000Z-one-abcdef12.snapshot"},
    ],
    ids=["the worker's", "the worker's and at the end the operator's", "the operator's"],
)
def test_one_clock_that_was_ahead_makes_no_backup_the_newest(told: dict[str, str]) -> None:
    """Not even if the store's owner says so: one of those that told is his, or was wrong once."""
    begun = (NOW - DAY).strftime("%Y%m%dT%H%M%SZ")
    told = {"key": f"team-a/shop/{begun}-one-abcdef12.snapshot", **told}
    old = a_backup("old", age=DAY, phase="Complete", **told)
    fresh = a_backup("fresh", phase="Complete")
    assert [b.name for b in stored.good([old, fresh])] == ["fresh", "old"]
    assert gone([old, fresh], last=1) == ["old"]


def test_one_clock_that_was_behind_makes_no_backup_the_oldest() -> None:
    fresh = a_backup("fresh", phase="Complete", startedAt="1970-01-01T00:00:00Z")
    assert stored.good([*daily(3)[1:], fresh])[0].name == "fresh"
    assert gone([*daily(3)[1:], fresh], last=1) == ["b2", "b1"]


async def test_a_slot_of_a_clock_that_was_ahead_does_not_end_the_schedule(
    api: FakeApi, kube: Kube
) -> None:
    obj, good = etcd(verify="30 * * * *"), daily(2)
    scheduled.note(obj, good, NOW)
    await kept(api, kube, good, obj, NOW + YEARS)
    assert obj.status.last_backup_slot == NOW + YEARS
    now = NOW + 5 * HOUR

    said = said_of(good, obj, now)
    left = await kept(api, kube, good, obj, now)

    assert said is not None
    assert (said.holds, said.reason) == (False, "BackupOverdue")
    assert "which is yet to come" in said.message
    assert schedule.backup_name("shop-etcd", now) in left
    assert obj.status.last_backup_slot == now
    assert obj.status.last_verify_slot == now - HOUR / 2


def test_a_backup_of_which_nobody_knows_the_time_counts_for_no_slot() -> None:
    obj, now = etcd(), NOW + 5 * HOUR
    scheduled.note(obj, [], NOW)
    later = a_backup("later", age=-YEARS, phase="Complete")

    said = said_of([later, *daily(1)], obj, now)

    last = obj.status.last_backup
    assert said is not None
    assert (said.holds, said.reason) == (False, "BackupOverdue")
    assert last is not None
    assert last.name == "b0"


def test_a_proof_of_a_clock_that_was_ahead_covers_up_none_of_later() -> None:
    passed = {**PASSED, "at": (NOW + YEARS).isoformat()}
    found = [
        a_backup("a", age=HOUR, phase="Complete", verification=passed),
        a_backup("b", phase="Complete", verification={**REFUTED, "message": "differs"}),
    ]
    obj = etcd()
    said = said_of(found, obj, NOW)
    assert said is not None
    assert said.reason == "VerificationFailed"
    assert obj.status.last_verified is None
