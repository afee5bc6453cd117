"""Addons of a user's own in a real business cluster."""

from __future__ import annotations

from tests.integration.apiserver import ApiServer
from tests.integration.operators.cluster.conftest import (
    ADDON,
    CLUSTER,
    Workspace,
    condition,
    running,
    soon,
)
from tests.integration.operators.cluster.standin import StandIn

from kok.api.meta import Kind
from kok.kube import kinds
from kok.kube.client import Kube

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\ndata: {{a: '{value}'}}\n"
CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: one, namespace: default}
"""
THING = Kind("example.com", "v1", "Thing", "things")


def config(name: str = "x", value: str = "1") -> str:
    return CONFIG.format(name=name, value=value)


async def test_the_life_of_an_addon(
    workspace: Workspace,
    api_server: ApiServer,
    namespace: str,
    standin: StandIn,
) -> None:
    async with running(api_server, namespace):
        await workspace.make()
        await workspace.until_ready()
        async with workspace.business() as admin:
            await workspace.addon("mine", f"{config('x')}---\n{config('y')}---\n{CRD}")
            made = await workspace.until_reason("AsWanted", "mine", kind=ADDON)
            assert made["status"]["objects"] == 4
            assert await admin.get(THING, "one", "default")

            # What is changed or deleted there comes back.
            await admin.patch(kinds.CONFIGMAP, "x", "default", {"data": {"a": "edited"}})
            await soon(lambda: _holds(admin, "x", "1"))
            await admin.delete(kinds.CONFIGMAP, "y", "default")
            await soon(lambda: _holds(admin, "y", "1"))

            # What the source no longer has goes.
            source = {"spec": {"source": {"inline": config("x", "2")}}}
            await workspace.patch(source, "mine", ADDON)
            await soon(lambda: _holds(admin, "x", "2"))
            await soon(lambda: _gone(admin, kinds.CONFIGMAP, "y"))
            await workspace.until(
                lambda m: len(m["status"]["inventory"]) == 1 and m["status"]["objects"] == 1,
                "mine",
                ADDON,
            )
            await soon(lambda: _gone(admin, kinds.CUSTOMRESOURCEDEFINITION, "things.example.com"))

            # Another Addon may not have the same object.
            await workspace.addon("thief", config("x", "3"))
            refused = await workspace.until_reason("ObjectTaken", "thief", kind=ADDON)
            assert (
                "ConfigMap default/x already belongs to Addon mine"
                in (condition(refused)["message"])
            )
            await workspace.delete(ADDON, "thief")
            await workspace.until_gone("thief", ADDON)
            assert await _holds(admin, "x", "2")

            # What an Addon left that this Cluster does not have, as after a restore, is taken over.
            mark = {"labels": {"kok.dev/addon": "old-coredns"}}
            left = {"metadata": {"name": "left", "namespace": "default", **mark}}
            await admin.apply({"apiVersion": "v1", "kind": "ConfigMap", **left})
            await workspace.addon("heir", config("left"))
            await workspace.until_reason("AsWanted", "heir", kind=ADDON)
            assert await _holds(admin, "left", "1")

            # One that depends on another waits for it.
            await workspace.addon("later", config("z"), dependsOn=["sooner"])
            waiting = await workspace.until_reason("WaitingForDependencies", "later", kind=ADDON)
            assert (
                "sooner, which this one depends on, does not exist"
                in (condition(waiting)["message"])
            )
            assert await admin.get(kinds.CONFIGMAP, "z", "default") is None
            await workspace.addon("sooner", config("w"))
            await workspace.until_reason("AsWanted", "later", kind=ADDON)

            # A mistake is said in a sentence and mended by the next edit.
            await workspace.patch({"spec": {"source": {"inline": "{{ nonsense }}"}}}, "mine", ADDON)
            broken = await workspace.until_reason("TemplateInvalid", "mine", kind=ADDON)
            assert "'nonsense' is undefined" in condition(broken)["message"]
            assert await _holds(admin, "x", "2")
            await workspace.patch(source, "mine", ADDON)
            await workspace.until_reason("AsWanted", "mine", kind=ADDON)

            # Removed, it takes its objects along.
            await workspace.delete(ADDON, "mine")
            await workspace.until_gone("mine", ADDON)
            assert await admin.get(kinds.CONFIGMAP, "x", "default") is None

        # A cluster that goes takes leave of its users' Addons, too.
        await workspace.delete(CLUSTER, "shop")
        await workspace.until_gone()
        orphan = await workspace.until_reason("ClusterMissing", "sooner", kind=ADDON)
        assert not orphan["status"].get("inventory")
        await workspace.delete(ADDON, "sooner")
        await workspace.until_gone("sooner", ADDON)


async def _holds(admin: Kube, name: str, value: str) -> bool:
    live = await admin.get(kinds.CONFIGMAP, name, "default")
    return live is not None and live["data"]["a"] == value


async def _gone(admin: Kube, kind: Kind, name: str) -> bool:
    return await admin.get(kind, name, "default") is None


async def test_an_addon_from_a_config_map_and_one_without_a_cluster(
    workspace: Workspace, api_server: ApiServer, namespace: str, standin: StandIn
) -> None:
    async with running(api_server, namespace):
        await workspace.addon("lost", config(), cluster="nobody")
        lost = await workspace.until_reason("ClusterMissing", "lost", kind=ADDON)
        assert f"Cluster {namespace}/nobody does not exist" in condition(lost)["message"]
        await workspace.make()
        await workspace.until_ready()
        await workspace.kube.create(
            {
                "apiVersion": ADDON.api_version,
                "kind": ADDON.kind,
                "metadata": {"name": "mapped", "namespace": namespace},
                "spec": {"cluster": "shop", "source": {"configMap": "templates"}},
            }
        )
        missing = await workspace.until_reason("ConfigMapMissing", "mapped", kind=ADDON)
        assert f"ConfigMap {namespace}/templates does not exist" in condition(missing)["message"]
        await workspace.kube.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "templates", "namespace": namespace},
                "data": {"a.yaml": config("m", "{{ cluster.name }}")},
            }
        )
        # An edit wakes the Addon; the ConfigMap alone is looked at once a minute.
        await workspace.patch({"metadata": {"annotations": {"kok.dev/poke": "1"}}}, "mapped", ADDON)
        await workspace.until_reason("AsWanted", "mapped", kind=ADDON)
        async with workspace.business() as admin:
            assert await _holds(admin, "m", "shop")
