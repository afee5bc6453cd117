"""Objects whose API version is no longer served are removed all the same, in a real business cluster."""

from __future__ import annotations

from typing import Any

from tests.integration.apiserver import ApiServer
from tests.integration.operators.cluster.addons.test_objects import (
    GROUP,
    THING,
    an_object,
    config,
    definition,
    text,
    there,
)
from tests.integration.operators.cluster.conftest import ADDON, Workspace, running, soon
from tests.integration.operators.cluster.standin import StandIn

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube

OLD = f"{GROUP}/v1alpha1"


def of_two_versions(*, old: bool) -> Manifest:
    found = definition("things", "Thing")
    (new,) = found["spec"]["versions"]
    found["spec"]["versions"] = [new, {**new, "name": "v1alpha1", "storage": False, "served": old}]
    return found


async def test_what_was_applied_in_a_version_that_is_gone_can_go(
    workspace: Workspace, api_server: ApiServer, namespace: str, standin: StandIn
) -> None:
    one, two = an_object(OLD, "Thing", "one"), an_object(OLD, "Thing", "two")
    async with running(api_server, namespace):
        await workspace.make()
        await workspace.until_ready()
        async with workspace.business() as admin:
            await admin.create(of_two_versions(old=True))
            await soon(there(admin, kinds.CUSTOMRESOURCEDEFINITION, f"things.{GROUP}", _serves))
            await workspace.addon("app", text(config("app", a="1"), one))
            await workspace.addon("other", text(two))
            for name in ("app", "other"):
                await workspace.until_reason("AsWanted", name, kind=ADDON)

            await admin.apply(of_two_versions(old=False), force=True)
            await soon(_no_longer(admin))
            # Of one that stays it leaves the templates, the other one goes as a whole.
            less = {"source": {"inline": text(config("app", a="2"))}}
            await workspace.patch({"spec": less}, "app", ADDON)
            await workspace.delete(ADDON, "other")
            await workspace.until_gone("other", ADDON)
            await soon(_gone(admin, "two"))
            await soon(_gone(admin, "one"))
            await workspace.until(_has_only_its_config, "app", ADDON)


def _serves(found: Manifest) -> bool:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def _no_longer(admin: Kube) -> Any:
    async def look() -> bool:
        found = await admin.raw("GET", f"/apis/{GROUP}")
        return [version["version"] for version in found["versions"]] == ["v1"]

    return look


def _gone(admin: Kube, name: str) -> Any:
    async def look() -> bool:
        return await admin.get(THING, name, "default") is None

    return look


def _has_only_its_config(found: Manifest | None) -> bool:
    status = (found or {}).get("status") or {}
    ready = [c for c in status.get("conditions") or () if c["type"] == "Ready"]
    return status.get("objects") == 1 and [c["status"] for c in ready] == ["True"]
