"""Addons for one Cluster and for many beside each other: who looks after which, and who waits for whom."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.unit.operators.cluster.addon.many.world import NOW, an_addon

from kok.api.cluster.addon import Addon
from kok.api.meta import Manifest
from kok.operators.cluster import operator
from kok.operators.cluster.addon.decide import require_dependencies
from kok.operators.cluster.addon.many.dispatch import AddonsReconciler
from kok.operators.cluster.addon.many.observe import child_of
from kok.operators.cluster.addon.observe import needed_names, observe
from kok.runtime.controller.errors import Wait
from kok.runtime.settings import Settings

READY = {
    "type": "Ready",
    "status": "True",
    "reason": "AsWanted",
    "lastTransitionTime": NOW.isoformat(),
    "observedGeneration": 1,
}


class Stored:
    """Objects by name, as an API server has them."""

    def __init__(self, **objects: Manifest) -> None:
        self.objects = objects

    async def get(self, kind: Any, name: str, _namespace: str, **_: Any) -> Manifest | None:
        return self.objects.get(name) if kind == Addon.info.kind else None


def stored(name: str, *conditions: Manifest, generation: int = 1, **spec: Any) -> Manifest:
    return {
        "metadata": {"name": name, "namespace": "team-a", "uid": name, "generation": generation},
        "spec": {"source": {"inline": "a: 1"}, **spec},
        "status": {"conditions": list(conditions)},
    }


def of_shop(**spec: Any) -> Addon:
    return Addon.parse(stored("web", cluster="shop", **spec))


async def test_what_depends_on_one_for_many_waits_for_that_of_its_own_cluster() -> None:
    addon = of_shop(dependsOn=["base"])
    kube = Stored(base=stored("base", clusters={}))
    with pytest.raises(Wait, match="Addon team-a/base-shop, which this one depends on, does not"):
        require_dependencies(addon, await observe(cast("Any", kube), addon))
    kube.objects["base-shop"] = stored("base-shop", cluster="shop")
    with pytest.raises(Wait, match="base-shop, which this one depends on, is not Ready"):
        require_dependencies(addon, await observe(cast("Any", kube), addon))
    kube.objects["base-shop"] = stored("base-shop", READY, cluster="shop")
    require_dependencies(addon, await observe(cast("Any", kube), addon))
    assert needed_names(addon) == ["base", "base-shop"]


async def test_what_depends_on_one_for_one_cluster_waits_for_that() -> None:
    addon = of_shop(dependsOn=["base"])
    kube = Stored(base=stored("base", READY, cluster="shop"))
    require_dependencies(addon, await observe(cast("Any", kube), addon))


def test_what_is_said_of_an_earlier_spec_counts_for_nothing() -> None:
    assert child_of(stored("log-shop", READY, cluster="shop")).ready is not None
    assert child_of(stored("log-shop", READY, generation=2, cluster="shop")).ready is None


def test_one_that_cannot_be_read_is_nothing_that_is_wanted() -> None:
    odd = child_of({"metadata": {"name": "log-shop", "uid": "1"}, "spec": {"cluster": "shop"}})
    assert (odd.cluster, odd.digest) == ("shop", "")
    assert odd.ready is not None
    assert not odd.ready.holds


async def test_each_sort_is_looked_after_by_its_own() -> None:
    class Told:
        wakes_on = ()

        def __init__(self) -> None:
            self.seen: list[str] = []

        async def reconcile(self, p: Any) -> None:
            self.seen.append(p.obj.name)

        async def finalize(self, p: Any) -> None:
            self.seen.append(f"finalize {p.obj.name}")

        def forget(self, key: Any, _uid: str) -> None:
            self.seen.append(f"forget {key[1]}")

    class Of:
        def __init__(self, obj: Addon) -> None:
            self.obj = obj

    one, many = Told(), Told()
    both = AddonsReconciler(cast("Any", one), cast("Any", many))
    for addon in (of_shop(), an_addon()):
        await both.reconcile(cast("Any", Of(addon)))
        await both.finalize(cast("Any", Of(addon)))
    both.forget(("team-a", "web"), "1")
    assert one.seen == ["web", "finalize web", "forget web"]
    assert many.seen == ["log", "finalize log", "forget web"]


def test_the_operator_keeps_both_sorts() -> None:
    kinds = [one for one in operator(Settings()).reconcilers if one.model is Addon]
    assert [type(one) for one in kinds] == [AddonsReconciler]
