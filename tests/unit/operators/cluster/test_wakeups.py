"""Who is woken when something of a business cluster changes."""

from __future__ import annotations

import asyncio

import pytest

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
