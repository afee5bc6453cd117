"""What Addons apply, beside others who write there, in a real business cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.integration.apiserver import ApiServer
from tests.integration.operators.cluster.conftest import (
    ADDON,
    Workspace,
    condition,
    running,
    soon,
)
from tests.integration.operators.cluster.standin import StandIn

from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube

GROUP = "example.com"
THING = Kind(GROUP, "v1", "Thing", "things")
UP = {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1}


def definition(plural: str, kind: str) -> Manifest:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [version],
        },
    }


def an_object(api: str, kind: str, name: str, wave: str | None = None, **rest: Any) -> Manifest:
    notes = {} if wave is None else {"annotations": {"kok.dev/wave": wave}}
    home = {} if kind.startswith("Cluster") else {"namespace": "default"}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, **home, **notes}, **rest}


def config(name: str, wave: str | None = None, **data: str) -> Manifest:
    return an_object("v1", "ConfigMap", name, wave, data=data)


def deployment(name: str, wave: str | None = None) -> Manifest:
    labels = {"app": name}
    container = {"name": "main", "image": "registry.example/app:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return an_object("apps/v1", "Deployment", name, wave, spec=spec)


def text(*manifests: Manifest) -> str:
    return "\n---\n".join(map(json.dumps, manifests))


async def up(admin: Kube, name: str) -> None:
    """What its controller would say once its pods run."""
    await admin.patch(kinds.DEPLOYMENT, name, "default", {"status": UP}, subresource="status")


def there(admin: Kube, kind: Kind, name: str, holds: Callable[[Manifest], bool]) -> Any:
    """Whether an object is there and as wanted, to be asked for again and again."""
    namespace = "default" if kind.namespaced else None

    async def look() -> bool:
        live = await admin.get(kind, name, namespace)
        return live is not None and holds(live)

    return look


async def test_objects_come_in_order_and_come_back(
    workspace: Workspace, api_server: ApiServer, namespace: str, standin: StandIn
) -> None:
    role = an_object("rbac.authorization.k8s.io/v1", "ClusterRole", "app", rules=[])
    role["rules"] = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    async with running(api_server, namespace):
        await workspace.make()
        await workspace.until_ready()
        async with workspace.business() as admin:
            # The definition is there before what it defines, and a wave before the next.
            await workspace.addon(
                "app",
                text(
                    config("later", "1", a="1"),
                    deployment("app"),
                    an_object(f"{GROUP}/v1", "Thing", "one", spec={"size": 1}),
                    role,
                    definition("things", "Thing"),
                ),
            )
            waits = await workspace.until_reason("WaitingForWave", "app", kind=ADDON)
            assert "wave 1 waits for what comes before it" in condition(waits)["message"]
            assert "Deployment app 0/1" in condition(waits)["message"]
            assert await admin.get(THING, "one", "default")
            assert await admin.get(kinds.CONFIGMAP, "later", "default") is None
            await up(admin, "app")
            await workspace.until_reason("AsWanted", "app", kind=ADDON)
            assert await admin.get(kinds.CONFIGMAP, "later", "default")

            # Whatever is changed comes back at once, of every kind, though a wave is not healthy.
            await admin.patch(
                kinds.DEPLOYMENT,
                "app",
                "default",
                {"status": {**UP, "readyReplicas": 0}},
                subresource="status",
            )
            await workspace.until_reason("WaitingForNodes", "app", kind=ADDON)
            await admin.patch(THING, "one", "default", {"spec": {"size": 7}})
            await admin.patch(kinds.CLUSTERROLE, "app", None, {"rules": []})
            await admin.delete(kinds.CONFIGMAP, "later", "default")
            await soon(there(admin, THING, "one", lambda m: m["spec"]["size"] == 1))
            await soon(there(admin, kinds.CLUSTERROLE, "app", lambda m: bool(m["rules"])))
            await soon(there(admin, kinds.CONFIGMAP, "later", lambda _m: True))
            await up(admin, "app")
            await workspace.until_reason("AsWanted", "app", kind=ADDON)

            # What is changed on purpose stays, also when the rest changes.
            ignored = {"kind": "Deployment", "name": "app", "paths": ["/spec/replicas"]}
            await workspace.patch({"spec": {"ignore": [ignored]}}, "app", ADDON)
            await workspace.until(_seen, "app", ADDON)
            await admin.patch(kinds.DEPLOYMENT, "app", "default", {"spec": {"replicas": 3}})
            changed = deployment("app")
            changed["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/app:2"
            source = {"inline": text(changed, definition("things", "Thing"))}
            await workspace.patch({"spec": {"source": source}}, "app", ADDON)
            await soon(there(admin, kinds.DEPLOYMENT, "app", _second))
            live = await admin.get(kinds.DEPLOYMENT, "app", "default")
            assert live is not None
            assert live["spec"]["replicas"] == 3
            await soon(_gone(admin, THING, "one"))


def _seen(addon: Manifest | None) -> bool:
    status = (addon or {}).get("status") or {}
    generation = (addon or {}).get("metadata", {}).get("generation")
    return bool(status.get("observedGeneration") == generation)


def _second(live: Manifest) -> bool:
    image: str = live["spec"]["template"]["spec"]["containers"][0]["image"]
    return image.endswith(":2")


def _gone(admin: Kube, kind: Kind, name: str) -> Any:
    async def look() -> bool:
        return await admin.get(kind, name, "default" if kind.namespaced else None) is None

    return look


async def test_what_others_have_is_theirs_and_one_broken_addon_is_nobody_elses_trouble(
    workspace: Workspace, api_server: ApiServer, namespace: str, standin: StandIn
) -> None:
    async with running(api_server, namespace):
        await workspace.make()
        await workspace.until_ready()
        async with workspace.business() as admin:
            # An object of somebody else: he is named, and says himself that it may be taken.
            await admin.apply(config("taken", a="theirs"))
            await workspace.addon("app", text(config("taken", a="ours"), config("free", a="ours")))
            refused = await workspace.until_reason("ObjectOwned", "app", kind=ADDON)
            assert condition(refused)["message"].startswith(
                'ConfigMap default/taken was there before, and "user" sets .data.a of it; delete'
            )
            live = await admin.get(kinds.CONFIGMAP, "taken", "default")
            assert live is not None
            assert live["data"] == {"a": "theirs"}
            consent = {"metadata": {"labels": {"kok.dev/addon": "app"}}}
            await admin.patch(kinds.CONFIGMAP, "taken", "default", consent)
            await workspace.until_reason("AsWanted", "app", kind=ADDON)
            await soon(there(admin, kinds.CONFIGMAP, "taken", lambda m: m["data"]["a"] == "ours"))

            # A definition that is never established, as its kind is another one's already.
            await admin.apply(definition("things", "Thing"))
            others = {**definition("others", "Thing")}
            await workspace.addon("broken", text(config("waits", a="1"), others))
            broken = await workspace.until(_names_taken, "broken", ADDON)
            message = condition(broken)["message"]
            assert message.startswith("CustomResourceDefinition others.example.com:")
            assert "the other objects of this Addon wait for that" in message
            assert await admin.get(kinds.CONFIGMAP, "waits", "default") is None

            # A value that is not there is named with file and line, and what was applied stays.
            await workspace.addon("typo", "a: 1\nb: {{ values.nothing.here }}\n")
            typo = await workspace.until_reason("TemplateInvalid", "typo", kind=ADDON)
            assert condition(typo)["message"].startswith("spec.source.inline, line 2: ")

            # None of them harms the Cluster, or the one that is fine.
            await admin.delete(kinds.CONFIGMAP, "free", "default")
            await soon(there(admin, kinds.CONFIGMAP, "free", lambda _m: True))
            cluster = await workspace.there(
                Kind("kok.dev", "v1alpha1", "Cluster", "clusters"), "shop"
            )
            assert condition(cluster)["status"] == "True"

            # What was half applied goes as well.
            for name in ("broken", "typo", "app"):
                await workspace.delete(ADDON, name)
                await workspace.until_gone(name, ADDON)
            for gone in ("taken", "free"):
                assert await admin.get(kinds.CONFIGMAP, gone, "default") is None
            left = await admin.get(kinds.CUSTOMRESOURCEDEFINITION, "others.example.com")
            assert left is None


def _names_taken(addon: Manifest | None) -> bool:
    found = condition(addon)
    return found.get("reason") == "NotEstablished" and "already" in found["message"]


async def test_what_somebody_has_to_clean_up_after_goes_before_him(
    workspace: Workspace, api_server: ApiServer, namespace: str, standin: StandIn
) -> None:
    async with running(api_server, namespace):
        await workspace.make()
        await workspace.until_ready()
        async with workspace.business() as admin:
            thing = an_object(f"{GROUP}/v1", "Thing", "one")
            thing["metadata"]["finalizers"] = ["example.com/clean-up"]
            await workspace.addon(
                "app", text(definition("things", "Thing"), thing, deployment("controller"))
            )
            await workspace.until_reason("WaitingForNodes", "app", kind=ADDON)
            await workspace.delete(ADDON, "app")
            await soon(there(admin, THING, "one", lambda m: "deletionTimestamp" in m["metadata"]))
            assert await admin.get(kinds.DEPLOYMENT, "controller", "default")
            assert await admin.get(kinds.CUSTOMRESOURCEDEFINITION, f"things.{GROUP}")

            await admin.patch(THING, "one", "default", {"metadata": {"finalizers": None}})
            await workspace.until_gone("app", ADDON)
            assert await admin.get(kinds.DEPLOYMENT, "controller", "default") is None
            assert await admin.get(kinds.CUSTOMRESOURCEDEFINITION, f"things.{GROUP}") is None
