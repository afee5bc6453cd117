"""The client against a real API server: every verb, every kind of refusal."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
import yaml
from tests.integration.apiserver import ApiServer, free_ports
from tests.integration.runtime.conftest import LIMIT, until

from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.budget.limits import META
from kok.kube.client import Kube
from kok.kube.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    InvalidObject,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)


def config_map(name: str, namespace: str, **data: str) -> Manifest:
    """A ConfigMap."""
    meta = {"name": name, "namespace": namespace, "labels": {"app": name[0]}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


async def test_objects_are_created_read_replaced_and_deleted(kube: Kube, namespace: str) -> None:
    made = await kube.create(config_map("a", namespace, x="1"))
    read = await kube.get(kinds.CONFIGMAP, "a", namespace)
    replaced = await kube.replace({**made, "data": {"x": "2"}})
    patched = await kube.patch(kinds.CONFIGMAP, "a", namespace, {"data": {"y": "3"}})
    operations = [{"op": "remove", "path": "/data/x"}]
    less = await kube.patch(kinds.CONFIGMAP, "a", namespace, operations, type="json")

    assert read == made
    assert replaced["data"] == {"x": "2"}
    assert patched["data"] == {"x": "2", "y": "3"}
    assert less["data"] == {"y": "3"}
    assert await kube.delete(kinds.CONFIGMAP, "a", namespace)
    assert not await kube.delete(kinds.CONFIGMAP, "a", namespace)
    assert await kube.get(kinds.CONFIGMAP, "a", namespace) is None


async def test_a_taken_name_is_told_apart_from_a_change(kube: Kube, namespace: str) -> None:
    made = await kube.create(config_map("a", namespace))
    with pytest.raises(AlreadyExists):
        await kube.create(config_map("a", namespace))

    await kube.patch(kinds.CONFIGMAP, "a", namespace, {"data": {"x": "1"}})
    with pytest.raises(Conflict, match="modified"):
        await kube.replace(made)


async def test_another_object_of_the_same_name_is_not_deleted(kube: Kube, namespace: str) -> None:
    await kube.create(config_map("a", namespace))
    with pytest.raises(Conflict):
        await kube.delete(kinds.CONFIGMAP, "a", namespace, uid="0-0-0")
    assert await kube.get(kinds.CONFIGMAP, "a", namespace)


async def test_an_object_that_cannot_be_is_refused_with_a_sentence(
    kube: Kube, namespace: str
) -> None:
    with pytest.raises(InvalidObject, match="Not_A_Name"):
        await kube.create(config_map("Not_A_Name", namespace))


async def test_lists_are_selected_and_read_in_pages(
    api_server: ApiServer, kube: Kube, namespace: str
) -> None:
    names = [f"{letter}{number}" for letter in "ab" for number in range(4)]
    await asyncio.gather(*(kube.create(config_map(name, namespace)) for name in names))

    async with await Kube.from_kubeconfig(
        api_server.kubeconfig(), field_manager="test", limits=replace(META, page=3)
    ) as reader:
        every = await reader.list(kinds.CONFIGMAP, namespace)
    some = await kube.list(kinds.CONFIGMAP, namespace, labels={"app": "a"})
    either = await kube.list(kinds.CONFIGMAP, namespace, labels="app in (a,b)")
    one = await kube.list(kinds.CONFIGMAP, namespace, fields={"metadata.name": "b2"})

    assert sorted(m["metadata"]["name"] for m in every) == names
    assert sorted(m["metadata"]["name"] for m in some) == names[:4]
    assert len(either) == len(names)
    assert [(m["kind"], m["apiVersion"], m["metadata"]["name"]) for m in one] == [
        ("ConfigMap", "v1", "b2")
    ]


async def test_a_kind_that_is_not_served_is_no_proof_that_an_object_is_gone(
    kube: Kube, namespace: str
) -> None:
    unknown = Kind("nowhere.example", "v1", "Thing", "things")
    with pytest.raises(NotFound):
        await kube.get(unknown, "a", namespace)


async def test_kinds_of_the_users_own_are_found_by_discovery(kube: Kube, toys: None) -> None:
    found = await kube.resolve({"apiVersion": "toys.kok.dev/v1alpha1", "kind": "Toy"})
    assert (found.plural, found.namespaced) == ("toys", True)
    with pytest.raises(NotFound, match="no kind Other"):
        await kube.resolve({"apiVersion": "toys.kok.dev/v1alpha1", "kind": "Other"})


async def test_a_user_without_rights_is_forbidden(api_server: ApiServer, namespace: str) -> None:
    config = api_server.kubeconfig("nobody", groups=("guests",))
    async with await Kube.from_kubeconfig(config, field_manager="test") as nobody:
        with pytest.raises(Forbidden, match='User "nobody" cannot list'):
            await nobody.list(kinds.SECRET, namespace)


async def test_a_wrong_token_is_unauthorised(api_server: ApiServer) -> None:
    config = yaml.safe_load(api_server.kubeconfig())
    config["users"][0]["user"] = {"token": "wrong"}
    async with await Kube.from_kubeconfig(config, field_manager="test") as stranger:
        with pytest.raises(Unauthorized):
            await stranger.list(kinds.SECRET, "default")


async def test_a_pod_can_be_evicted_only_if_its_budget_allows(kube: Kube, namespace: str) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": namespace, "labels": {"app": "p"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    made = await kube.create(pod)
    # Eviction of a pending pod needs no budget; a running one does.
    running = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    await kube.patch(kinds.POD, "p", namespace, running, subresource="status")
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "b", "namespace": namespace},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}},
    }
    await kube.create(budget)
    with pytest.raises(TooManyRequests, match="disruption budget"):
        await kube.evict("p", namespace, uid=made["metadata"]["uid"])

    await kube.delete(kinds.PDB, "b", namespace)
    with pytest.raises(Conflict):
        await kube.evict("p", namespace, uid="of-an-earlier-one")
    await kube.evict("p", namespace, uid=made["metadata"]["uid"])

    await until(
        kube,
        kinds.POD,
        namespace,
        "p",
        lambda p: p is None or p["metadata"].get("deletionTimestamp"),
    )
    with pytest.raises(NotFound):
        await kube.evict("other", namespace, uid=made["metadata"]["uid"])


async def test_a_watch_tells_what_is_there_and_what_changes(kube: Kube, namespace: str) -> None:
    await kube.create(config_map("a", namespace))
    seen: list[tuple[str, Any]] = []
    watch = kube.watch(kinds.CONFIGMAP, namespace, labels={"app": "a"})
    async with asyncio.timeout(LIMIT), aclosing(watch) as events:
        async for event in events:
            seen.append((event.type, event.object.get("data")))
            match len(seen):
                case 2:
                    await kube.create(config_map("b", namespace))
                    await kube.patch(kinds.CONFIGMAP, "a", namespace, {"data": {"x": "1"}})
                case 3:
                    await kube.delete(kinds.CONFIGMAP, "a", namespace)
                case 4:
                    break
    assert seen == [
        ("ADDED", None),
        ("SYNCED", None),
        ("MODIFIED", {"x": "1"}),
        ("DELETED", {"x": "1"}),
    ]


async def test_text_answers_come_as_text(kube: Kube) -> None:
    assert await kube.raw("GET", "/livez") == "ok"
    assert (await kube.raw("GET", "/version"))["major"] == "1"


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    (port,) = free_ports(1)
    config = _config(f"https://127.0.0.1:{port}")
    async with await Kube.from_kubeconfig(config, field_manager="test") as kube:
        with pytest.raises(
            Unreachable, match=rf"cannot connect to https://127\.0\.0\.1:{re.escape(str(port))}"
        ):
            await kube.list(kinds.NODE)


async def test_a_server_with_a_foreign_certificate_is_unreachable(api_server: ApiServer) -> None:
    config = _config(api_server.server)
    async with await Kube.from_kubeconfig(config, field_manager="test") as kube:
        with pytest.raises(Unreachable, match="certificate"):
            await kube.list(kinds.NODE)


async def test_a_server_that_does_not_speak_is_given_up() -> None:
    open_ones: list[asyncio.StreamWriter] = []

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = _config(f"http://127.0.0.1:{port}")
    async with await Kube.from_kubeconfig(config, field_manager="test", timeout=0.2) as kube:
        with pytest.raises(Unreachable, match="did not answer in time"):
            await kube.list(kinds.NODE)
    for writer in open_ones:
        writer.close()
        await writer.wait_closed()
    server.close()


def _config(server: str) -> dict[str, Any]:
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
    }
