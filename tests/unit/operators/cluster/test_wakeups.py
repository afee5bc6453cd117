"""Who is woken when something of a business cluster changes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.operators.cluster.builders import a_cluster

from kok.operators.cluster import wakeups as module
from kok.operators.cluster.wakeups import AT_ONCE, PAUSE, Wakeups


def test_of_an_addon_only_what_it_says_now_is_remembered() -> None:
    wakeups, app = Wakeups(), {"metadata": {"namespace": "n", "name": "app"}}
    wakeups.register("n", "app", "shop", [], lambda: None)
    wakeups.register("n", "other", "shop", ["app"], lambda: None)
    for i in range(100):
        wakeups.register("n", "app", f"shop-{i}", [f"{i}-{j}" for j in range(16)], lambda: None)
    held = (wakeups._said, wakeups._addons, wakeups._dependents)
    assert [len(one) for one in held] == [2, 2, 17]
    wakeups.forget(("n", "app"))
    wakeups.forget(("n", "app"))
    assert [len(one) for one in held] == [1, 1, 1]
    assert list(wakeups.of_addon(app)) == [("n", "other")], "there may be another of that name"
    wakeups.forget(("n", "other"))
    assert [len(one) for one in held] == [0, 0, 0]


def test_addons_are_woken_by_what_they_hang_on() -> None:
    wakeups, woken = Wakeups(), []
    wakeups.register("n", "dns", "shop", [], lambda: woken.append("dns"))
    wakeups.register("n", "app", "shop", ["dns"], lambda: woken.append("app"))
    wakeups.register("m", "dns", "shop", [], lambda: woken.append("other"))
    wakeups.wake_addons(("n", "shop"))
    assert woken == ["dns", "app"]
    wakeups.wake_addon(("n", "shop"), "app")
    assert woken[2:] == ["app"]
    cluster = {"metadata": {"namespace": "n", "name": "shop"}}
    assert set(wakeups.of_cluster(cluster)) == {("n", "dns"), ("n", "app")}
    dns = {"metadata": {"namespace": "n", "name": "dns"}}
    assert list(wakeups.of_addon(dns)) == [("n", "app")]
    wakeups.forget(("n", "app"))
    wakeups.wake_addons(("n", "shop"))
    assert woken[3:] == ["dns"]


def test_addons_are_woken_by_what_they_are_made_of() -> None:
    wakeups = Wakeups()
    for name in ("dns", "app"):
        wakeups.register("n", name, "shop", [], lambda: None)
    wakeups.register_parts(("n", "dns"), [("Secret", "one"), ("ConfigMap", "two")])
    wakeups.register_parts(("n", "app"), [("Secret", "one")])
    one, two = ({"metadata": {"namespace": "n", "name": name}} for name in ("one", "two"))
    assert set(wakeups.of_secret(one)) == {("n", "dns"), ("n", "app")}
    assert wakeups.of_config_map(two) == [("n", "dns")]
    assert wakeups.of_secret(two) == wakeups.of_config_map(one) == []
    assert wakeups.of_secret({"metadata": {"namespace": "m", "name": "one"}}) == []
    wakeups.register_parts(("n", "dns"), [])
    assert wakeups.of_secret(one) == [("n", "app")]
    wakeups.forget(("n", "app"))
    assert wakeups.of_secret(one) == []
    assert wakeups._made_of == {}


def test_a_cluster_is_woken_while_it_is_looked_after() -> None:
    wakeups, woken = Wakeups(), list[str]()
    wakeups.register_cluster(("team-a", "shop"), lambda: woken.append("shop"))
    wakeups.wake_cluster(("team-a", "shop"))
    wakeups.wake_cluster(("team-b", "shop"))
    wakeups.forget_cluster(("team-a", "shop"))
    wakeups.wake_cluster(("team-a", "shop"))
    assert woken == ["shop"]


async def test_all_are_woken_a_few_at_a_time_and_those_without_a_plan_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wakeups, woken, pauses = Wakeups(), list[str](), list[tuple[int, float]]()

    async def pause(seconds: float) -> None:
        pauses.append((len(woken), seconds))
        wakeups.forget_cluster(("n", "c50"))

    monkeypatch.setattr(module.asyncio, "sleep", pause)
    for n in range(51):
        wakeups.register_cluster(("n", f"c{n}"), lambda n=n: woken.append(f"c{n}"))  # type: ignore[misc]
    for name in ("begun", "patch"):
        wakeups.register_unplanned(("n", name), lambda name=name: woken.append(name))  # type: ignore[misc]
    wakeups.forget_unplanned(("n", "begun"))
    async with asyncio.timeout(5):
        await wakeups.wake_all()
    assert woken == ["patch", *(f"c{n}" for n in range(50))]
    assert pauses == [(1 + AT_ONCE, PAUSE), (1 + 2 * AT_ONCE, PAUSE)]


ADDON, SHOP = ("team-a", "shop-coredns"), ("team-a", "shop")
REACHED = {"type": "EndpointReachable", "status": "True", "reason": "Answers"}
SINCE = {"lastTransitionTime": "2026-01-01T00:00:00Z"}


def event(**meta: Any) -> dict[str, Any]:
    """What is told of a change of the Cluster: metadata alone."""
    known = {"namespace": "team-a", "name": "shop", "uid": "uid-1", "generation": 1}
    return {"metadata": {**known, **meta}}


def reached(message: str = "") -> dict[str, Any]:
    return {"conditions": [{**REACHED, **SINCE, "message": message}]}


def looked_after(status: dict[str, Any]) -> Wakeups:
    """An Addon has seen its Cluster as the last pass over that wrote it."""
    wakeups, cluster = Wakeups(), a_cluster(status=status)
    wakeups.tell(cluster, cluster.status)
    wakeups.register(*ADDON, "shop", [], lambda: None)
    wakeups.saw(ADDON, cluster)
    return wakeups


def test_an_addon_is_not_woken_by_what_it_does_not_go_by() -> None:
    wakeups = looked_after(reached())
    other = a_cluster(status={**reached(), "nodeSummary": "1/2", "phase": "Ready"})
    wakeups.tell(other, other.status)
    assert list(wakeups.of_cluster(event())) == []


@pytest.mark.parametrize(
    "written",
    [
        {},
        reached("it takes long"),
        {**reached(), "version": "1.37.1"},
        {**reached(), "endpoint": "https://192.0.2.7:6443"},
        {**reached(), "caFingerprints": {"shop-ca": "aa:bb"}},
    ],
    ids=["unreachable", "said", "version", "endpoint", "ca"],
)
def test_an_addon_is_woken_by_what_it_goes_by(written: dict[str, Any]) -> None:
    wakeups, cluster = looked_after(reached()), a_cluster(status=written)
    wakeups.tell(cluster, cluster.status)
    assert list(wakeups.of_cluster(event())) == [ADDON]
    # It may have read before the write, and then hears of that.
    wakeups.saw(ADDON, a_cluster(status=reached()))
    assert list(wakeups.of_cluster(event())) == [ADDON]
    wakeups.saw(ADDON, cluster)
    assert list(wakeups.of_cluster(event())) == []


@pytest.mark.parametrize(
    "meta", [{"generation": 2}, {"uid": "uid-2"}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}]
)
def test_an_addon_is_woken_by_what_people_do_with_its_cluster(meta: dict[str, Any]) -> None:
    assert list(looked_after(reached()).of_cluster(event(**meta))) == [ADDON]


def test_an_addon_is_woken_by_any_change_before_it_has_seen_its_cluster() -> None:
    wakeups = looked_after(reached())
    wakeups.register(*ADDON, "shop", [], lambda: None)
    assert list(wakeups.of_cluster(event())) == [ADDON]
    wakeups = looked_after(reached())
    wakeups.forget_cluster(SHOP)
    assert list(wakeups.of_cluster(event())) == [ADDON]
    wakeups = looked_after(reached())
    wakeups.forget(ADDON)
    wakeups.saw(ADDON, a_cluster(status=reached()))
    wakeups.register(*ADDON, "shop", [], lambda: None)
    assert list(wakeups.of_cluster(event())) == [ADDON]
