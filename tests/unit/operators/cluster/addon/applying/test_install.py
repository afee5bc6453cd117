"""An addon's objects step by step, and their removal."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.fakeapi import FakeApi

from kok.api.cluster.addon import AppliedObject
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.operators.cluster.addon.applying.bring import Terms
from kok.operators.cluster.addon.applying.install import install, inventory_entries
from kok.operators.cluster.addon.applying.removal import remove
from kok.runtime.controller.errors import Wait

APPS = "/apis/apps/v1/namespaces/web/deployments"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MAPS = "/api/v1/namespaces/web/configmaps"
HELD = {"finalizers": ["example.com/clean-up"]}


def an_object(api: str, kind: str, name: str, wave: str | None = None) -> Manifest:
    notes = {} if wave is None else {"annotations": {"kok.dev/wave": wave}}
    home = {} if kind == "CustomResourceDefinition" else {"namespace": "web"}
    meta = {"name": name, **home, "labels": {"kok.dev/addon": "mine"}, **notes}
    return {"apiVersion": api, "kind": kind, "metadata": meta}


FIRST = an_object("apps/v1", "Deployment", "database")
SECOND = an_object("v1", "ConfigMap", "schema", "1")
DEFINITION = an_object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "things.example.com")
UP = {"observedGeneration": 1, "readyReplicas": 1, "updatedReplicas": 1}


def says(api: FakeApi, path: str, **status: Any) -> None:
    api.put(path, {**api.objects[path], "status": status})


async def test_a_wave_waits_until_the_one_before_is_healthy(api: FakeApi, kube: Kube) -> None:
    done = await install(kube, [SECOND, FIRST], Terms("mine"))
    assert done.waits == "wave 1 waits for what comes before it"
    assert [one.name for one in done.found] == ["Deployment database"]
    assert f"{MAPS}/schema" not in api.objects

    says(api, f"{APPS}/database", **UP)
    done = await install(kube, [SECOND, FIRST], Terms("mine"))
    assert done.waits is None
    assert f"{MAPS}/schema" in api.objects


async def test_what_was_all_applied_once_is_put_right_whatever_ails(
    api: FakeApi, kube: Kube
) -> None:
    done = await install(kube, [SECOND, FIRST], Terms("mine", settled=True))
    assert done.waits is None
    assert f"{MAPS}/schema" in api.objects


async def test_nothing_is_applied_before_what_it_needs_is_established(
    api: FakeApi, kube: Kube
) -> None:
    with pytest.raises(Wait) as told:
        await install(kube, [FIRST, DEFINITION], Terms("mine"))
    assert told.value.reason == "NotEstablished"
    assert told.value.message.startswith(
        "CustomResourceDefinition things.example.com: it is not established"
    )
    taken = {"type": "NamesAccepted", "status": "False", "message": "things is already in use"}
    says(api, f"{CRDS}/things.example.com", conditions=[taken])
    with pytest.raises(Wait, match="things is already in use"):
        await install(kube, [FIRST, DEFINITION], Terms("mine"))
    assert list(api.objects) == [f"{CRDS}/things.example.com"]

    fine = {"type": "Established", "status": "True"}
    says(api, f"{CRDS}/things.example.com", conditions=[fine])
    await install(kube, [FIRST, DEFINITION], Terms("mine"))
    assert f"{APPS}/database" in api.objects


async def test_what_ails_before_does_not_count_as_what_is_needed(api: FakeApi, kube: Kube) -> None:
    claim = an_object("v1", "PersistentVolumeClaim", "data")
    late = an_object("v1", "PriorityClass", "late", "1")
    late["apiVersion"] = "scheduling.k8s.io/v1"
    done = await install(kube, [claim, late], Terms("mine", settled=True))
    assert [one.name for one in done.found] == ["PersistentVolumeClaim data"]


async def applied(api: FakeApi, kube: Kube, *manifests: Manifest) -> list[AppliedObject]:
    await install(kube, manifests, Terms("mine", settled=True))
    return [one for one in await inventory_entries(kube, manifests) if one is not None]


async def test_what_was_applied_last_goes_first_and_the_rest_waits_for_it(
    api: FakeApi, kube: Kube
) -> None:
    entries = await applied(api, kube, FIRST, SECOND)
    path = f"{MAPS}/schema"
    api.put(path, {**api.objects[path], "metadata": {**api.objects[path]["metadata"], **HELD}})

    left = (await remove(kube, entries, "mine")).left
    assert [one.name for one in left] == ["schema", "database"]
    assert f"{APPS}/database" in api.objects
    assert "deletionTimestamp" in api.objects[path]["metadata"]

    api.drop(path)
    assert (await remove(kube, left, "mine")).left == []
    assert api.objects == {}


async def test_what_holds_on_does_not_keep_the_rest_for_ever(api: FakeApi, kube: Kube) -> None:
    entries = await applied(api, kube, FIRST, SECOND)
    path = f"{MAPS}/schema"
    api.put(path, {**api.objects[path], "metadata": {**api.objects[path]["metadata"], **HELD}})
    left = (await remove(kube, entries, "mine", due=2)).left
    assert [one.name for one in left] == ["schema"]
    assert list(api.objects) == [path]


async def test_a_namespace_that_goes_is_not_waited_for(api: FakeApi, kube: Kube) -> None:
    home = an_object("v1", "Namespace", "home")
    del home["metadata"]["namespace"]
    api.put("/api/v1/namespaces/home", {**home, "status": {"phase": "Active"}})
    entries = await applied(api, kube, home)
    going = {**api.objects["/api/v1/namespaces/home"]["metadata"]}
    going["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    api.put("/api/v1/namespaces/home", {**home, "metadata": going})
    assert (await remove(kube, entries, "mine")).left == []


async def test_what_a_chart_keeps_stays(api: FakeApi, kube: Kube) -> None:
    kept = an_object("v1", "ConfigMap", "kept")
    kept["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    entries = await applied(api, kube, kept, FIRST)
    assert (await remove(kube, entries, "mine")).left == []
    assert list(api.objects) == [f"{MAPS}/kept"]
