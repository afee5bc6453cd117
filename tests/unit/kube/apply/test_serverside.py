"""Hashes of intents and the fight that is not fought."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal

from kok.kube.apply.serverside import INTENT, PARTS, Change, ensure, ensure_all, index, intent_hash
from kok.kube.client import Kube
from kok.kube.errors import Forbidden
from kok.kube.objects.foreign_fields import Additions, additions


def config_map(name: str = "a", **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    meta = {"name": name, "namespace": "ns"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def test_the_hash_depends_on_content_alone() -> None:
    one = config_map(x="1", y="2")
    other = dict(reversed(config_map(y="2", x="1").items()))
    assert intent_hash(one) == intent_hash(other)
    assert intent_hash(one) != intent_hash(config_map(x="1"))


async def test_the_intent_is_not_changed_and_its_hash_is_stamped(api: FakeApi, kube: Kube) -> None:
    intent = config_map(x="1")
    made, _ = await ensure(kube, intent, None)
    assert intent == config_map(x="1")
    assert made["metadata"]["annotations"] == {INTENT: intent_hash(intent)}


async def test_a_removed_stamp_is_drift(api: FakeApi, kube: Kube) -> None:
    made, _ = await ensure(kube, config_map(x="1"), None)
    del made["metadata"]["annotations"]
    _, change = await ensure(kube, config_map(x="1"), made)
    assert change is Change.UPDATED


async def test_a_server_that_insists_is_not_fought(api: FakeApi, kube: Kube) -> None:
    async def insist(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        body["data"] = {"x": "server's"}
        return web.json_response(api.put(request.path, body))

    api.script("PATCH", "configmaps", insist)
    live, _ = await ensure(kube, config_map(x="ours"), None)
    sent = len(api.writes)

    _, change = await ensure(kube, config_map(x="ours"), live)

    assert change is Change.NONE
    assert len(api.writes) == sent
    _, change = await ensure(kube, config_map(x="other"), live)
    assert change is Change.UPDATED


async def test_one_refusal_does_not_keep_the_others_back(api: FakeApi, kube: Kube) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return refusal(403, "Forbidden", "not this one")

    api.script("PATCH", "configmaps/b", refuse)
    with pytest.raises(Forbidden, match="not this one"):
        await ensure_all(kube, [config_map(n) for n in "abc"], [])
    assert {path.rpartition("/")[2] for path in api.objects} == {"a", "c"}


async def test_many_are_matched_by_kind_and_name(api: FakeApi, kube: Kube) -> None:
    made = await ensure_all(kube, [config_map(n) for n in "ab"], {})
    lives = index(manifest for manifest, _ in made.values())
    again = await ensure_all(kube, [config_map("a"), config_map("b", x="1")], lives)
    assert [change for _, change in again.values()] == [Change.NONE, Change.UPDATED]


async def test_what_nobody_can_remove_is_looked_for_no_oftener_than_it_changes(
    api: FakeApi, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {f"l{number}": "x" for number in range(200)}
    fields = {f"f:{name}": {} for name in labels}
    record = {"f:spec": {"f:selector": {"f:matchLabels": fields}}}
    written = {"manager": "other", "operation": "Apply", "fieldsType": "FieldsV1"}
    live = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": "a",
            "namespace": "ns",
            "uid": "u",
            "managedFields": [{**written, "fieldsV1": record}],
        },
        "spec": {"selector": {"matchLabels": {"app": "a", **labels}}},
    }
    api.put("/apis/apps/v1/namespaces/ns/statefulsets/a", live)
    looked, removals = [0], [0]

    def looking(*arguments: Any) -> Additions:
        looked[0] += 1
        return additions(*arguments)

    async def refuse(request: web.Request) -> web.StreamResponse:
        if "json-patch" in request.headers["Content-Type"]:
            removals[0] += 1
            return refusal(422, "Invalid", "field is immutable")
        return web.json_response(api.put(request.path, live))

    monkeypatch.setattr("kok.kube.apply.serverside.additions", looking)
    api.script("PATCH", "statefulsets", refuse)
    meta = {"name": "a", "namespace": "ns"}
    intent = {**live, "metadata": meta, "spec": {"selector": {"matchLabels": {"app": "a"}}}}
    await ensure(kube, intent, live)
    # Each is asked for by itself in the end; none of the refusals changed anything.
    assert removals[0] > PARTS
    assert looked[0] < 10
