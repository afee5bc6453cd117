"""What holds more than an Addon applied goes with it only where an Addon made it."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal
from tests.unit.operators.cluster.addon.applying.test_install import CRDS, DEFINITION, HELD

from kok.api.cluster.addon import AppliedObject
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.operators.cluster.addon.applying.bring import Brought, Terms, bring
from kok.operators.cluster.addon.applying.install import inventory_entries
from kok.operators.cluster.addon.applying.removal import Removed, remove

HOME = "/api/v1/namespaces/home"
THINGS = f"{CRDS}/things.example.com"
SPACE: Manifest = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "home", "labels": {"kok.dev/addon": "mine", "level": "restricted"}},
}
THEIRS = {"manager": "kubectl-create", "operation": "Update", "fieldsV1": {"f:metadata": {}}}
OURS = {"manager": "kok-cluster", "operation": "Apply", "fieldsV1": {"f:metadata": {}}}
BOTH = pytest.mark.parametrize(("path", "intent"), [(HOME, SPACE), (THINGS, DEFINITION)])


def without_label(intent: Manifest, **meta: Any) -> Manifest:
    """As somebody else made it."""
    return {**intent, "metadata": {"name": intent["metadata"]["name"], **meta}}


async def brought(kube: Kube, intent: Manifest, addon: str = "mine") -> None:
    labels = {**intent["metadata"]["labels"], "kok.dev/addon": addon}
    meta = {**intent["metadata"], "labels": labels}
    found = await bring(kube, {**intent, "metadata": meta}, Terms(addon))
    assert isinstance(found, Brought), found


async def removed(kube: Kube, intent: Manifest, addon: str = "mine") -> Removed:
    entries: list[AppliedObject] = [
        one for one in await inventory_entries(kube, [intent]) if one is not None
    ]
    return await remove(kube, entries, addon)


@BOTH
async def test_what_the_addon_made_goes_with_it(
    api: FakeApi, kube: Kube, path: str, intent: Manifest
) -> None:
    await brought(kube, intent)
    # Whoever writes something of it later does not make it his.
    api.put(path, {**api.objects[path], "metadata": {"managedFields": [OURS, THEIRS]}})
    await brought(kube, intent)
    assert api.objects[path]["metadata"]["labels"] == intent["metadata"]["labels"]
    assert (await removed(kube, intent)).released == []
    assert path not in api.objects


@BOTH
async def test_what_was_there_before_stays_and_nothing_of_ours_is_left_on_it(
    api: FakeApi, kube: Kube, path: str, intent: Manifest
) -> None:
    theirs = {
        "managedFields": [THEIRS, OURS],
        "labels": {"team": "a"},
        "annotations": {"note": "b"},
    }
    api.put(path, without_label(intent, **theirs))
    uid = api.objects[path]["metadata"]["uid"]
    await brought(kube, intent)
    assert api.objects[path]["metadata"]["labels"]["kok.dev/addon"] == "mine"
    done = await removed(kube, intent)
    assert [one.name for one in done.released] == [intent["metadata"]["name"]]
    assert done.left == []
    assert done.told == (
        f"{intent['kind']} {intent['metadata']['name']}: there before this Addon, and left as it is "
        "with all that is in it"
    )
    meta = api.objects[path]["metadata"]
    assert meta["uid"] == uid
    assert "kok.dev/addon" not in meta["labels"]
    assert meta["labels"]["team"] == "a"
    assert meta["annotations"] == {"note": "b"}
    assert meta["managedFields"] == [THEIRS]
    # Whoever looks once more has nothing to do with it.
    again = await removed(kube, intent)
    assert (again.left, again.released) == ([], [])


async def test_a_namespace_that_somebody_makes_at_the_same_moment_is_his(
    api: FakeApi, kube: Kube
) -> None:
    async def sooner(_request: web.Request) -> web.Response:
        api.put(HOME, without_label(SPACE, managedFields=[THEIRS]))
        return refusal(409, "AlreadyExists", "home already exists")

    api.script("POST", "namespaces$", sooner)
    await brought(kube, SPACE)
    assert api.objects[HOME]["metadata"]["labels"]["level"] == "restricted"
    assert [one.name for one in (await removed(kube, SPACE)).released] == ["home"]
    assert HOME in api.objects


async def test_a_definition_that_somebody_makes_at_the_same_moment_is_his(
    api: FakeApi, kube: Kube
) -> None:
    marks: list[bool] = []

    async def merged(request: web.Request) -> None:
        if request.content_type.startswith("application/apply"):
            notes = (await request.json())["metadata"].get("annotations") or {}
            marks.append("kok.dev/made-by" in notes)
            if len(marks) == 1:
                api.put(THINGS, without_label(DEFINITION, managedFields=[THEIRS, OURS]))

    api.script("PATCH", "things.example.com$", merged)
    await brought(kube, DEFINITION)
    # A real server takes away what was applied and is not any more.
    assert marks == [True, False]


async def test_who_dies_when_a_namespace_was_made_leaves_no_doubt(api: FakeApi, kube: Kube) -> None:
    dead: list[bool] = []

    async def dies(_request: web.Request) -> web.Response | None:
        if dead:
            return None
        dead.append(True)
        return refusal(500, "InternalError", "gone")

    api.script("PATCH", "namespaces/home$", dies)
    found = await bring(kube, SPACE, Terms("mine"))
    assert isinstance(getattr(found, "error", None), KubeError)
    assert HOME in api.objects
    api.put(HOME, {**api.objects[HOME], "metadata": {"managedFields": [OURS, THEIRS]}})
    await brought(kube, SPACE)
    assert api.objects[HOME]["metadata"]["labels"]["level"] == "restricted"
    assert (await removed(kube, SPACE)).released == []
    assert HOME not in api.objects


@BOTH
async def test_what_was_made_before_there_were_marks_goes_if_nobody_else_wrote_it(
    api: FakeApi, kube: Kube, path: str, intent: Manifest
) -> None:
    status = {**THEIRS, "subresource": "status"}
    api.put(path, {**intent, "metadata": {**intent["metadata"], "managedFields": [OURS, status]}})
    assert (await removed(kube, intent)).released == []
    assert path not in api.objects


async def test_what_is_handed_over_is_not_made_by_who_gets_it(api: FakeApi, kube: Kube) -> None:
    await brought(kube, SPACE)
    labels = {**SPACE["metadata"]["labels"], "kok.dev/addon": "other"}
    api.put(HOME, {**api.objects[HOME], "metadata": {"labels": labels}})
    await brought(kube, SPACE, "other")
    assert [one.name for one in (await removed(kube, SPACE, "other")).released] == ["home"]


async def test_who_wants_to_keep_what_an_addon_made_says_so(api: FakeApi, kube: Kube) -> None:
    await brought(kube, SPACE)
    kept = {**api.objects[HOME]["metadata"]["annotations"], "kok.dev/made-by": "nobody"}
    api.put(HOME, {**api.objects[HOME], "metadata": {"annotations": kept}})
    await brought(kube, SPACE)
    assert api.objects[HOME]["metadata"]["annotations"]["kok.dev/made-by"] == "nobody"
    assert [one.name for one in (await removed(kube, SPACE)).released] == ["home"]
    assert HOME in api.objects


async def test_what_is_taken_over_of_an_addon_that_is_no_more_goes_with_its_heir(
    api: FakeApi, kube: Kube
) -> None:
    await brought(kube, SPACE)
    heir = {**SPACE, "metadata": {**SPACE["metadata"], "labels": {"kok.dev/addon": "heir"}}}
    found = await bring(kube, heir, Terms("heir", gone={"mine"}))
    assert isinstance(found, Brought)
    assert (await removed(kube, heir, "heir")).released == []
    assert HOME not in api.objects


async def test_one_that_is_changed_meanwhile_is_looked_at_again(api: FakeApi, kube: Kube) -> None:
    api.put(HOME, without_label(SPACE, managedFields=[THEIRS, OURS]))
    await brought(kube, SPACE)

    async def changed(_request: web.Request) -> web.Response:
        return refusal(409, "Conflict", "it was changed")

    api.script("PATCH", "namespaces/home$", changed)
    done = await removed(kube, SPACE)
    assert [one.name for one in done.left] == ["home"]
    assert done.released == []


async def test_one_that_is_going_is_let_go(api: FakeApi, kube: Kube) -> None:
    api.put(HOME, without_label(SPACE, managedFields=[THEIRS, OURS], **HELD))
    await brought(kube, SPACE)
    going = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    api.put(HOME, {**api.objects[HOME], "metadata": going})
    assert (await removed(kube, SPACE)).released == []
