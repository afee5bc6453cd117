"""Addons for many Clusters on a real API server: waves, failures, and Clusters that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from e2e.polling import eventually
from tests.integration.apiserver import ApiServer
from tests.integration.conftest import CRDS, install_crds
from tests.integration.operators.fleets.addons import ADDON, Acted, Addons, keeping, states
from tests.integration.operators.fleets.conftest import CLUSTER, LIMIT
from tests.integration.rights import operator_access, refused

from kok.kube.client import Kube
from kok.kube.http.access import from_kubeconfig

CANARY = {"waves": [{"name": "first", "names": ["c"]}, {"name": "rest", "maxParallel": 1}]}
NEW = {"level": "new"}
NAMES = ("a", "b", "c")
SOON = 100.0


@pytest.fixture(scope="session")
def addon_crds(api_server: ApiServer) -> None:
    """The kinds that these tests are about."""
    asyncio.run(install_crds(api_server, [CRDS / f"{n}.yaml" for n in ("clusters", "addons")]))


@pytest.fixture
def addons(kube: Kube, namespace: str, addon_crds: None) -> Addons:
    """Short ways to the namespace of the test."""
    return Addons(kube, namespace)


@pytest.fixture
def acted() -> Acted:
    """What becomes of the Addon of each Cluster."""
    return Acted()


@pytest.fixture
async def operator(
    api_server: ApiServer, addons: Addons, acted: Acted, namespace: str
) -> AsyncIterator[None]:
    """It looks after the test's namespace."""
    async with keeping(from_kubeconfig(api_server.kubeconfig()), acted, namespace):
        yield


async def test_a_change_goes_behind_its_canary(
    addons: Addons, acted: Acted, operator: None
) -> None:
    await addons.clusters(*NAMES)
    override = {"names": ["b"], "values": {"url": "b", "off": None}}
    await addons.make(values={"off": 1, "url": "all"}, overrides=[override], rollout=CANARY)
    found = await addons.until_reason("AsWanted")
    assert states(found) == dict.fromkeys(NAMES, "Done")
    assert found.status.rollout is not None
    assert found.status.rollout.summary == "3/3"
    assert await addons.having({"url": "b"}) == {"b"}

    acted.broken["c"] = "NotHealthy"
    await addons.change(values={"off": None, "url": None, **NEW}, overrides=None)
    await addons.until(lambda a: states(a).get("c") == "Upgrading")

    async def canary() -> bool:
        return bool(acted.seen["c"][-1:] == [NEW])

    await eventually(canary, LIMIT)
    assert await addons.having(NEW) == {"c"}
    acted.mend("c")
    await addons.until_reason("AsWanted")
    assert await addons.having(NEW) == set(NAMES)
    # Nobody was changed twice, or had anything in between.
    assert acted.seen["a"] == [{"off": 1, "url": "all"}, NEW]
    assert acted.seen["b"] == [{"url": "b"}, NEW]


async def test_it_stops_at_a_canary_that_fails_and_goes_back_by_the_spec(
    addons: Addons, acted: Acted, operator: None
) -> None:
    await addons.clusters(*NAMES)
    await addons.make(rollout=CANARY)
    await addons.until_reason("AsWanted")
    acted.broken["c"] = "TemplateInvalid"
    await addons.change(values=NEW)
    found = await addons.until_reason("TooManyFailures")
    assert states(found) == {"a": "Waiting", "b": "Waiting", "c": "Failed"}
    assert found.status.is_true("Stopped")
    assert await addons.having(NEW) == {"c"}

    # Who comes now gets what the others have.
    await addons.clusters("late")
    await addons.until(lambda a: states(a).get("late") == "Waiting")

    async def has() -> bool:
        return await addons.child("late") is not None

    await eventually(has, LIMIT)
    assert await addons.having({}) == {"a", "b", "late"}

    acted.broken.clear()
    await addons.change(values={"level": None})
    await addons.until_reason("AsWanted")
    assert await addons.having({}) == {"a", "b", "c", "late"}
    assert acted.seen["a"] == acted.seen["late"] == [{}]


async def test_clusters_come_and_go(addons: Addons, acted: Acted, operator: None) -> None:
    web: Any = {"labels": {"tier": "web"}}
    # As the runtime does it: a Cluster is there until it is cleaned up.
    held = {**web, "finalizers": ["example.com/held"]}
    await addons.clusters("a", **held)
    await addons.clusters("b", **web)
    await addons.clusters("other")
    await addons.make(clusters={"matchLabels": {"tier": "web"}})
    await addons.until(lambda a: states(a) == {"a": "Done", "b": "Done"})

    await addons.label("other", tier="web")
    await addons.clusters("new", runs="", **web)
    found = await addons.until(
        lambda a: states(a) == {"a": "Done", "b": "Done", "new": "Skipped", "other": "Done"}
    )
    assert found.status.rollout is not None
    assert found.status.rollout.table()["new"].reason == "WaitingForCluster"
    await addons.ran("new")
    await addons.until(lambda a: states(a).get("new") == "Done")

    await addons.label("b", tier=None)
    await addons.until(lambda a: "b" not in states(a))
    await eventually(lambda: _gone(addons, "b"), LIMIT)
    assert acted.seen["b"] == [{}, "removed"]

    await addons.kube.delete(CLUSTER, "a", addons.namespace)
    await addons.until(lambda a: "a" not in states(a))
    await eventually(lambda: _gone(addons, "a"), LIMIT)
    await addons.kube.patch(CLUSTER, "a", addons.namespace, {"metadata": {"finalizers": None}})

    # What is somebody else's is left alone, and told of.
    foreign = {"cluster": "x", "source": {"inline": "a: 1"}}
    await addons.kube.create(
        {
            "apiVersion": ADDON.api_version,
            "kind": ADDON.kind,
            "metadata": {"name": "log-x", "namespace": addons.namespace},
            "spec": foreign,
        }
    )
    await eventually(lambda: _seen(acted, "x"), LIMIT)
    await addons.clusters("x", **web)
    found = await addons.until(lambda a: states(a).get("x") == "Failed")
    assert found.status.rollout is not None
    assert found.status.rollout.table()["x"].reason == "NameTaken"
    live = await addons.child("x")
    assert live is not None
    assert live.spec.source.inline == "a: 1"


async def test_what_is_marked_as_its_own_is_taken_over(
    addons: Addons, acted: Acted, operator: None
) -> None:
    marks = {
        "app.kubernetes.io/managed-by": "kok",
        "kok.dev/owner-kind": "Addon",
        "kok.dev/owner-name": "log",
    }
    await addons.clusters("a")
    await addons.make()
    await addons.until(lambda a: states(a) == {"a": "Done"})
    await addons.kube.create(
        {
            "apiVersion": ADDON.api_version,
            "kind": ADDON.kind,
            "metadata": {"name": "log-x", "namespace": addons.namespace, "labels": marks},
            "spec": {"cluster": "x", "source": {"inline": "a: 1"}},
        }
    )
    await eventually(lambda: _seen(acted, "x"), LIMIT)
    await addons.clusters("x")
    await addons.until(lambda a: states(a) == {"a": "Done", "x": "Done"})
    live = await addons.child("x")
    assert live is not None
    assert live.spec.source.inline != "a: 1"


async def test_what_has_the_name_of_its_own_is_out_of_the_way_at_once(
    addons: Addons, acted: Acted, operator: None
) -> None:
    async def foreign(cluster: str, **meta: Any) -> None:
        about = {"name": f"log-{cluster}", "namespace": addons.namespace, **meta}
        await addons.kube.create(
            {
                "apiVersion": ADDON.api_version,
                "kind": ADDON.kind,
                "metadata": about,
                "spec": {"cluster": cluster, "source": {"inline": "a: 1"}},
            }
        )

    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "1"}
    await addons.clusters("x", "y", "z")
    await foreign("x")
    await foreign("y")
    await foreign("z", ownerReferences=[{**owner, "controller": True}])
    waves = [{"name": "all", "maxParallel": 3}]
    await addons.make(rollout={"waves": waves, "stopAfterFailures": 3})
    await addons.until(lambda a: set(states(a).values()) == {"Failed"})
    # Nothing else tells it, and it looks by itself in an hour.
    async with asyncio.timeout(SOON):
        await addons.kube.delete(ADDON, "log-x", addons.namespace)
        await addons.until(lambda a: states(a)["x"] == "Done")
        marks = {
            "app.kubernetes.io/managed-by": "kok",
            "kok.dev/owner-kind": "Addon",
            "kok.dev/owner-name": "log",
        }
        await addons.kube.patch(ADDON, "log-y", addons.namespace, {"metadata": {"labels": marks}})
        await addons.until(lambda a: states(a)["y"] == "Done")
        await addons.kube.delete(ADDON, "log-z", addons.namespace)
        await addons.until(lambda a: states(a) == {"x": "Done", "y": "Done", "z": "Done"})
    live = await addons.child("y")
    assert live is not None
    assert live.spec.source.inline != "a: 1"


async def _seen(acted: Acted, cluster: str) -> bool:
    return bool(acted.seen[cluster])


async def test_what_is_kept_where_it_is_no_longer_selected_is_taken_back(
    addons: Addons, acted: Acted, operator: None
) -> None:
    await addons.clusters("a", labels={"tier": "web"})
    await addons.make(clusters={"matchLabels": {"tier": "web"}}, whenUnselected="Orphan")
    await addons.until(lambda a: states(a) == {"a": "Done"})
    await addons.label("a", tier=None)
    await addons.until(lambda a: states(a) == {})

    async def is_free() -> bool:
        child = await addons.child("a")
        assert child is not None
        return not child.metadata.owner_references

    await eventually(is_free, LIMIT)
    await addons.change(values=NEW)
    await addons.until_reason("NothingSelected")
    assert await addons.having({}) == {"a"}
    await addons.label("a", tier="web")
    await addons.until(lambda a: states(a) == {"a": "Done"})
    assert await addons.having(NEW) == {"a"}
    assert acted.seen["a"] == [{}, NEW]


async def test_all_of_them_go_with_it(addons: Addons, acted: Acted, operator: None) -> None:
    await addons.clusters(*NAMES)
    await addons.make()
    await addons.until_reason("AsWanted")
    # The Addon of a Cluster that is changed or deleted by hand comes back.
    await addons.kube.patch(ADDON, "log-a", addons.namespace, {"spec": {"source": {"inline": "b"}}})
    await addons.kube.delete(ADDON, "log-b", addons.namespace)

    async def is_back() -> bool:
        found = [await addons.child(name) for name in ("a", "b")]
        return all(one is not None and one.spec.source.inline != "b" for one in found)

    await eventually(is_back, LIMIT)
    await addons.kube.delete(ADDON, "log", addons.namespace)

    async def all_gone() -> bool:
        return not await addons.kube.list(ADDON, addons.namespace)

    await eventually(all_gone, LIMIT)
    assert all(acted.seen[name][-1] == "removed" for name in NAMES)


async def test_it_needs_no_more_rights_than_the_chart_gives_it(
    api_server: ApiServer, kube: Kube, addons: Addons, acted: Acted
) -> None:
    access = await operator_access(api_server, kube, addons.namespace, "cluster")
    before = await refused(kube)
    await addons.clusters(*NAMES, labels={"tier": "web"})
    async with keeping(access, acted, addons.namespace):
        await addons.make(clusters={"matchLabels": {"tier": "web"}}, whenUnselected="Orphan")
        await addons.until_reason("AsWanted")
        await addons.change(values=NEW)
        await addons.until(lambda a: states(a) == dict.fromkeys(NAMES, "Done"))
        await addons.label("a", tier=None)
        await addons.until(lambda a: "a" not in states(a))
        await addons.kube.delete(ADDON, "log", addons.namespace)
        await eventually(lambda: _gone(addons, "b"), LIMIT)
    after: dict[str, Any] = await refused(kube)
    assert {k: v for k, v in after.items() if v != before.get(k, 0)} == {}


async def test_clusters_of_other_namespaces_are_out_of_reach(
    api_server: ApiServer, kube: Kube, addons: Addons, acted: Acted
) -> None:
    other = Addons(kube, f"{addons.namespace}-team")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other.namespace}}
    await kube.create(namespace)
    await addons.clusters("a")
    await other.clusters("b")
    access = from_kubeconfig(api_server.kubeconfig())
    # Not even from the namespace of the operators.
    async with keeping(access, acted, addons.namespace, other.namespace):
        await addons.make()
        await other.make()
        mine, theirs = await addons.until_reason("AsWanted"), await other.until_reason("AsWanted")
    assert (states(mine), states(theirs)) == ({"a": "Done"}, {"b": "Done"})
    assert await addons.child("b") is None
    assert await other.child("a") is None


async def _gone(addons: Addons, cluster: str) -> bool:
    return await addons.child(cluster) is None
