"""Addons for a Cluster that others made: which are read, when, and whom their changes wake."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.cluster.builders import NOW, a_cluster, an_addon
from tests.unit.operators.cluster.cluster.operations.upgrade_world import (
    OLD,
    somebodys,
    upgrading,
)

from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube.budget.limits import MIB
from kok.kube.budget.pass_memory import PassMemory
from kok.kube.client import Kube
from kok.kube.objects.ownership import owned
from kok.operators.cluster.businesscluster.connections import Connections
from kok.operators.cluster.cluster.observe import ADDON
from kok.operators.cluster.cluster.operations.upgrade_addons import are_awaited, other_addons
from kok.operators.cluster.cluster.reconcile import ClusterReconciler
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import Key, Pass
from kok.runtime.settings import Settings

PATH = "/apis/kok.dev/v1alpha1/namespaces/team-a/addons"


@pytest.mark.parametrize(
    ("step", "findings", "read"),
    [
        ("Preflight", None, False),
        ("Preflight", [], True),
        ("Etcd", [], True),
        ("AddonsBefore", [], True),
        ("APIServer", [], False),
        ("Addons", [], True),
        ("Nodes", [], False),
        ("BackedOut", [], False),
    ],
)
def test_they_are_read_only_where_an_upgrade_goes_by_them(
    step: str, findings: list[Any] | None, read: bool
) -> None:
    upgrade = upgrading(step, findings=findings)
    assert are_awaited(a_cluster(status={"version": OLD, "upgrade": upgrade})) is read
    assert not are_awaited(a_cluster(status={"version": OLD, "upgrade": upgrade}, hibernate=True))
    assert not are_awaited(a_cluster(status={"version": OLD}))


async def test_addons_of_a_cluster_are_known_by_what_they_say(api: FakeApi, kube: Kube) -> None:
    cluster = a_cluster()
    large = somebodys("large", values={"a": "a" * 100_000}, upgrade="Before")
    large["metadata"]["labels"] = {"kok.dev/cluster": "other"}
    child = somebodys("logs-shop")
    child["metadata"] |= owned(child, Addon.parse(somebodys("logs")))["metadata"]
    going = somebodys("going")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    odd = somebodys("odd", upgrade="Sideways")
    own = owned(an_addon("coredns"), cluster)
    unlabelled = owned(an_addon("konnectivity-agent"), cluster)
    del unlabelled["metadata"]["labels"]
    others = somebodys("others") | {"spec": {"cluster": "farm", "source": {"configMap": "x"}}}
    for one in (large, child, going, odd, own, unlabelled, others):
        api.put(f"{PATH}/{one['metadata']['name']}", one)
    memory = PassMemory(MIB)
    found = await other_addons(kube.apart(memory), cluster)
    assert [a.name for a in found.found.objects] == ["large", "logs-shop"]
    assert [a.spec.goes_before for a in found.found.objects] == [True, False]
    assert all(a.status.is_true("Healthy") for a in found.found.objects)
    assert [a.name for a in found.found.odd] == ["odd"]
    assert (found.more, memory.size < 50_000) == (False, True)
    assert (await other_addons(kube, a_cluster("farm"))).found.objects[0].name == "others"


async def test_no_more_of_them_are_read_than_a_person_makes(api: FakeApi, kube: Kube) -> None:
    for number in range(300):
        one = somebodys(f"a{number:03}")
        api.put(f"{PATH}/a{number:03}", one)
    found = await other_addons(kube, a_cluster())
    assert (len(found.found.objects), found.more) == (256, True)


def passing(kube: Kube, cluster: Cluster) -> Pass[Cluster]:
    return Pass(
        obj=cluster,
        status=cluster.status.model_copy(deep=True),
        kube=kube,
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )


def woken(reconciler: ClusterReconciler, addon: Manifest) -> set[Key]:
    """Clusters that a change of an Addon wakes which none of them owns."""
    wakes = [w for w in reconciler.wakes_on if w.kind == ADDON and w.key is not None]
    return {key for wake in wakes if wake.key for key in wake.key(addon)}


async def test_they_are_read_and_wake_their_cluster_only_while_its_upgrade_waits(
    api: FakeApi, kube: Kube
) -> None:
    cni = api.put(f"{PATH}/cni", somebodys())
    wakeups = Wakeups()
    reconciler = ClusterReconciler(ClusterSettings(), Connections(1, 1.0), wakeups)
    wakeups.register("team-a", "cni", "shop", (), lambda: None)

    rests = a_cluster(status={"version": OLD})
    view = await reconciler.observe(passing(kube, rests))
    at_rest = [r for r in api.requests if r[1].startswith(PATH)]
    assert (view.others, len(at_rest), woken(reconciler, cni)) == (None, 1, set())

    waits = a_cluster(status={"version": OLD, "upgrade": upgrading("AddonsBefore")})
    view = await reconciler.observe(passing(kube, waits))
    assert view.others is not None
    assert [a.name for a in view.others.found.objects] == ["cni"]
    assert view.addons().objects == (), "it is none of the Cluster's own"
    assert woken(reconciler, cni) == {("team-a", "shop")}
    assert woken(reconciler, somebodys("unheard-of")) == set()

    await reconciler.observe(passing(kube, rests))
    assert woken(reconciler, cni) == set()
    await reconciler.observe(passing(kube, waits))
    reconciler.forget(("team-a", "shop"), "uid")
    assert woken(reconciler, cni) == set()
