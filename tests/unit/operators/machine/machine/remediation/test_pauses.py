"""Machines know when their KubeNode is paused, which hands nothing on to them then."""

from __future__ import annotations

from typing import Any

import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine import builders

from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine
from kok.kube.client import Kube
from kok.kube.objects.ownership import owner_reference
from kok.operators.machine.machine.reconcile import MachineReconciler
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.settings import MachineSettings
from kok.operators.machine.watches import Pauses
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import EVERY, Pass
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.settings import Settings

PLACE = "/apis/kok.dev/v1alpha1/namespaces/team-a/kubenodes/shop-workers"


def kubenode(*, paused: bool, uid: str = "uid-k") -> dict[str, Any]:
    made = builders.kubenode(metadata={"uid": uid}).manifest()
    made["spec"]["paused"] = paused
    return made


def of(owner: dict[str, Any]) -> Machine:
    owners = [owner_reference(KubeNode.parse(owner))]
    return builders.machine(metadata={"ownerReferences": owners})


async def test_a_machine_knows_whether_its_kubenode_is_paused(api: FakeApi, kube: Kube) -> None:
    for paused, told in ((True, "shop-workers"), (False, "")):
        pauses, live = Pauses(), kubenode(paused=paused)
        api.put(PLACE, live)
        assert await pauses.of(kube, of(live)) == told
        # It is read once: with a thousand nodes in its status it is large.
        del api.objects[PLACE]
        assert await pauses.of(kube, of(live)) == told


async def test_what_is_told_counts_and_wakes_its_machines_where_the_pause_has_changed(
    api: FakeApi, kube: Kube
) -> None:
    pauses = Pauses()
    every = [("team-a", EVERY)]
    woken = [list(pauses(kubenode(paused=paused))) for paused in (False, True, True, False, False)]
    assert woken == [[], every, [], every, []]
    pauses(kubenode(paused=True))
    assert await pauses.of(kube, of(kubenode(paused=True))) == "shop-workers"
    assert api.objects == {}


async def test_without_its_very_kubenode_a_machine_is_nobodys_to_pause(
    api: FakeApi, kube: Kube
) -> None:
    pauses = Pauses()
    assert await pauses.of(kube, builders.machine()) == ""
    gone = of(kubenode(paused=True))
    assert await pauses.of(kube, gone) == ""
    api.put(PLACE, kubenode(paused=True, uid="another"))
    assert await pauses.of(kube, gone) == ""


async def test_of_how_many_something_is_remembered_is_bounded(api: FakeApi, kube: Kube) -> None:
    pauses = Pauses(most=2)
    for uid in "abc":
        pauses(kubenode(paused=True, uid=uid))
    # Of the first one nothing is known any more, so that it is read again.
    assert await pauses.of(kube, of(kubenode(paused=True, uid="a"))) == ""
    assert await pauses.of(kube, of(kubenode(paused=True, uid="c"))) == "shop-workers"


async def test_a_pass_over_a_machine_goes_by_it(api: FakeApi, kube: Kube) -> None:
    clock = FakeClock(builders.NOW)
    settings = MachineSettings(forbidden_ranges=[])
    machines = MachineReconciler(settings, SandboxPool(), MachineLists(clock.monotonic), clock)
    (wake,) = (one for one in machines.wakes_on if one.kind == KubeNode.info.kind)
    assert wake.key is not None
    owner = kubenode(paused=True)
    assert wake.key(owner) == [("team-a", EVERY)]
    machine = of(owner)
    p = Pass[Any](
        obj=machine,
        status=machine.status.model_copy(deep=True),
        kube=kube,
        clock=clock,
        now=builders.NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )
    view = await machines.observe(p)
    assert view.paused_by == "shop-workers"
    await machines.close()
