"""Namespaces and definitions that were there before an Addon outlive it, in a real business cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.integration.apiserver import ApiServer
from tests.integration.operators.cluster.addons.test_objects import (
    THING,
    an_object,
    config,
    definition,
    text,
)
from tests.integration.operators.cluster.conftest import ADDON, Workspace, running, soon
from tests.integration.operators.cluster.standin import StandIn

from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube

EVENT = Kind("", "v1", "Event", "events")


def namespace_of(name: str, **labels: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    }


async def test_what_was_there_before_stays_with_all_that_is_in_it(
    workspace: Workspace, api_server: ApiServer, namespace: str, standin: StandIn
) -> None:
    async with running(api_server, namespace):
        await workspace.make()
        await workspace.until_ready()
        async with workspace.business() as admin:
            await admin.create(namespace_of("theirs", team="a"))
            await admin.create(definition("things", "Thing"))
            thing = an_object("example.com/v1", "Thing", "precious")
            await soon(_made(admin, thing))
            precious = {**config("precious", a="1")}
            precious["metadata"]["namespace"] = "theirs"
            await admin.create(precious)

            level = {"pod-security.kubernetes.io/enforce": "restricted"}
            inside = config("app", a="1")
            inside["metadata"]["namespace"] = "theirs"
            source = text(
                namespace_of("theirs", **level),
                namespace_of("ours"),
                definition("things", "Thing"),
                definition("others", "Other"),
                inside,
            )
            await workspace.addon("app", source)
            await workspace.until_reason("AsWanted", "app", kind=ADDON)
            before = await admin.get(kinds.NAMESPACE, "theirs")
            assert before is not None
            assert before["metadata"]["labels"].items() >= level.items()

            # One that leaves the templates is released, and so are those of an Addon that goes.
            less = {"source": {"inline": source.partition("\n---\n")[2]}}
            await workspace.patch({"spec": less}, "app", ADDON)
            await soon(_released(admin, kinds.NAMESPACE, "theirs"))
            await workspace.until(_without_theirs, "app", ADDON)
            await workspace.delete(ADDON, "app")
            await workspace.until_gone("app", ADDON)

            for kind, name in (
                (kinds.NAMESPACE, "theirs"),
                (kinds.CUSTOMRESOURCEDEFINITION, "things.example.com"),
            ):
                live = await admin.get(kind, name)
                assert live is not None
                assert "deletionTimestamp" not in live["metadata"]
                assert "kok" not in str(live["metadata"])
            assert await admin.get(kinds.CONFIGMAP, "precious", "theirs")
            assert await admin.get(kinds.CONFIGMAP, "app", "theirs") is None
            assert await admin.get(THING, "precious", "default")

            gone = await admin.get(kinds.NAMESPACE, "ours")
            assert gone is None or gone["metadata"]["deletionTimestamp"]
            await soon(_gone(admin, kinds.CUSTOMRESOURCEDEFINITION, "others.example.com"))
        told = [_event(one) for one in await workspace.kube.list(EVENT, namespace)]
        left = [message for reason, message in told if reason == "LeftInPlace"]
        assert any("Namespace theirs: there before this Addon" in one for one in left), told
        assert any("CustomResourceDefinition things.example.com" in one for one in left), told


def _event(found: Mapping[str, Any]) -> tuple[str, str]:
    return str(found.get("reason")), str(found.get("message"))


def _made(admin: Kube, thing: Manifest) -> Any:
    async def look() -> bool:
        try:
            await admin.create(thing)
        except Exception:  # noqa: BLE001 - its definition is not served yet
            return False
        return True

    return look


def _without_theirs(addon: Manifest | None) -> bool:
    status = (addon or {}).get("status") or {}
    return "theirs" not in {one["name"] for one in status.get("inventory") or ()}


def _gone(admin: Kube, kind: Kind, name: str) -> Any:
    async def look() -> bool:
        return await admin.get(kind, name) is None

    return look


def _released(admin: Kube, kind: Kind, name: str) -> Any:
    async def look() -> bool:
        live = await admin.get(kind, name)
        return live is not None and "kok.dev/addon" not in live["metadata"]["labels"]

    return look
