"""A restored cluster that loses its data before it is whole."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.etcd.builders import (
    NOW,
    a_world,
)
from tests.unit.operators.etcd.etcdcluster.restores.builders import a_restore, passing, restoring
from tests.unit.operators.etcd.etcdcluster.restores.test_restore_from import told

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMember
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.kube.client import Kube
from kok.operators.etcd import clusterstatus, reasons
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.operators.etcd.etcdcluster.restores import takeover
from kok.operators.etcd.settings import EtcdSettings


def grown(step: str = "Growing", since: timedelta = clusterstatus.PATIENCE) -> EtcdCluster:
    """Its restored member took the place of three others so long ago."""
    obj = restoring(step)
    done = {"name": "back", "uid": "uid-back", "at": (NOW - since).isoformat(), "bump": 1}
    obj.status = type(obj.status).model_validate({**obj.status.manifest(), "restored": done})
    assert obj.status.restore is not None
    obj.status.restore.before = [m.name for m in obj.status.members]
    obj.status.members = [EtcdMember(name="shop-etcd-3")]
    return obj


FIRST, SECOND = a_restore(phase="Restoring"), a_restore("second", 5)


@pytest.mark.parametrize("step", ["Starting", "Growing"])
@pytest.mark.parametrize("others", [[FIRST], []], ids=["", "the first was deleted"])
async def test_another_restore_takes_the_place_of_one_that_does_not_come_to_its_end(
    step: str, others: list[EtcdRestore], kube: Kube, api: FakeApi
) -> None:
    obj = grown(step)

    await takeover.advance(
        passing(obj, kube),
        obj,
        a_world(obj, {}),
        [*others, SECOND],
        EtcdSettings(),
        outcome=Outcome(),
    )

    found = obj.status.restore
    assert found is not None
    assert (found.name, found.step) == ("second", "Stopping")
    volumes = ["shop-etcd-0", "shop-etcd-1", "shop-etcd-2", "shop-etcd-3"]
    assert found.before == volumes, "all are kept until the new members are healthy"
    first = await told(obj, FIRST.model_copy(deep=True), kube, api)
    assert first.status.phase == "Restoring", "it may yet go on"


@pytest.mark.parametrize("since", [timedelta(), clusterstatus.PATIENCE - timedelta(seconds=1)])
async def test_one_whose_members_are_about_to_come_is_waited_for(
    since: timedelta, kube: Kube
) -> None:
    obj = grown(since=since)

    await takeover.advance(
        passing(obj, kube),
        obj,
        a_world(obj, {}),
        [FIRST, SECOND],
        EtcdSettings(),
        outcome=Outcome(),
    )

    assert obj.status.restore is not None
    assert obj.status.restore.name == "back"


async def test_a_clock_that_was_ahead_keeps_nobody_waiting(kube: Kube) -> None:
    obj = grown(since=-timedelta(days=300))

    await takeover.advance(
        passing(obj, kube),
        obj,
        a_world(obj, {}),
        [FIRST, SECOND],
        EtcdSettings(),
        outcome=Outcome(),
    )

    assert obj.status.restore is not None
    assert obj.status.restore.name == "second"


async def test_given_up_it_leaves_the_one_before_to_go_on(kube: Kube) -> None:
    obj = grown()
    before = obj.status.restore
    world = a_world(obj, {})
    await takeover.advance(
        passing(obj, kube), obj, world, [FIRST, SECOND], EtcdSettings(), outcome=Outcome()
    )

    await takeover.advance(
        passing(obj, kube), obj, world, [FIRST], EtcdSettings(), outcome=Outcome()
    )

    assert obj.status.restore == before
    assert [m.name for m in obj.status.members] == ["shop-etcd-3"]


async def test_the_one_before_says_that_another_took_its_place(kube: Kube, api: FakeApi) -> None:
    obj = grown()
    world = a_world(obj, {})
    await takeover.advance(
        passing(obj, kube), obj, world, [FIRST, SECOND], EtcdSettings(), outcome=Outcome()
    )
    assert obj.status.restore is not None
    obj.status.restore.member = "shop-etcd-4"

    await takeover._swap(passing(obj, kube), obj, obj.status.restore)

    assert obj.status.restore.interrupted is None
    assert [m.name for m in obj.status.members] == ["shop-etcd-4"]
    first = await told(obj, FIRST.model_copy(deep=True), kube, api)
    assert first.status.phase == "Failed"
    ready = first.status.condition(reasons.READY)
    assert ready is not None
    assert "EtcdRestore second took its place" in ready.message
