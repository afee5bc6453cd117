"""`kok addons upgrade` and `remove` as a user sees them, against an API server in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from tests.unit.cli.addons.things import (
    ADDONS,
    GIT,
    INLINE,
    addon,
    put,
    written,
)
from tests.unit.cli.things import Run, kok
from tests.unit.fakeapi import FakeApi, refusal

from kok.cli.addons.own import of_version
from kok.cli.query import Refused


async def test_an_upgrade_changes_values_of_what_is_there(
    api: FakeApi, run: Run, operator: None
) -> None:
    put(api, {"name": "coredns", "values": {"replicas": 3}})
    code, _, _ = await run("addons", "upgrade", "demo", "demo-coredns", "--set", "cacheSeconds=60")
    assert code == 0
    assert written(api) == [{"name": "coredns", "values": {"replicas": 3, "cacheSeconds": 60}}]
    code, _, _ = await run("addons", "upgrade", "demo", "coredns", "--reset-values")
    assert code == 0
    assert written(api) == [{"name": "coredns"}]
    code, _, err = await run("addons", "upgrade", "demo", "nvidia-device-plugin", "--set", "a=b")
    assert code == 1
    assert "Cluster ns/demo has no addon nvidia-device-plugin" in err


async def test_an_own_addon_is_upgraded_and_removed_as_an_object(api: FakeApi, run: Run) -> None:
    put(api)
    own = addon("mine", source={"inline": INLINE}, values={"a": 1, "b": 2})
    path = f"{ADDONS}/mine"
    api.put(path, own)
    sent: list[Any] = []

    async def patched(request: Any) -> Any:
        # The API server in memory knows no JSON patches.
        sent.extend(await request.json())
        values = next(one["value"] for one in sent if one["path"] == "/spec/values")
        made = {**own, "spec": {**own["spec"], "values": values}}
        return web.json_response(api.put(path, made))

    api.script("PATCH", "addons/mine$", patched)
    settings = ("--set", "a=3", "--set", "b=null", "--timeout", "0")
    code, _, _ = await run("addons", "upgrade", "demo", "mine", *settings)
    assert code == 0
    assert api.objects[path]["spec"]["values"] == {"a": 3}
    assert written(api) == []
    code, _, _ = await run("addons", "remove", "demo", "mine", "--yes", "--timeout", "0")
    assert code == 0
    assert path not in api.objects


async def test_an_addon_whose_status_is_written_meanwhile_is_upgraded_nevertheless(
    api: FakeApi, run: Run
) -> None:
    put(api)
    own = addon("mine", source={"inline": INLINE}, values={"a": 1})
    path = f"{ADDONS}/mine"
    api.put(path, own)
    tries = 0

    async def patched(request: Any) -> Any:
        nonlocal tries
        tries += 1
        sent = {one["path"]: one["value"] for one in await request.json()}
        if tries == 1:
            api.put(path, {**own, "spec": {**own["spec"], "values": {"a": 1, "theirs": 2}}})
        if sent["/metadata/resourceVersion"] != api.objects[path]["metadata"]["resourceVersion"]:
            return refusal(409, "Conflict", "the object has been modified")
        made = {**own, "spec": {**own["spec"], "values": sent["/spec/values"]}}
        return web.json_response(api.put(path, made))

    api.script("PATCH", "addons/mine$", patched)
    code, _, err = await run("addons", "upgrade", "demo", "mine", "--set", "a=3", "--timeout", "0")
    assert (code, err) == (0, "")
    assert api.objects[path]["spec"]["values"] == {"a": 3, "theirs": 2}


async def test_an_own_addon_whose_values_its_template_lacks_stays_as_it_is(
    api: FakeApi, run: Run
) -> None:
    put(api)
    api.put(f"{ADDONS}/mine", addon("mine", source={"inline": INLINE}, values={"a": 1}))
    code, _, err = await run("addons", "upgrade", "demo", "mine", "--reset-values")
    assert code == 1
    assert "kok: mine: TemplateInvalid: spec.source.inline" in err
    assert not api.writes


@pytest.mark.parametrize("source", ["chart", "secret"])
async def test_an_own_addon_whose_parts_the_user_has_not_is_changed_untried(
    api: FakeApi, run: Run, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("KOK_HELM", "/nonexistent/helm")
    chart = {"helm": {"repository": "https://charts.example", "chart": "web", "version": "1.2.0"}}
    given = [{"secret": "vault", "key": "values.yaml"}]
    parts = (
        {"source": chart}
        if source == "chart"
        else {"source": {"inline": INLINE}, "valuesFrom": given}
    )
    put(api)
    own = addon("mine", values={"a": 1}, **parts)
    api.put(f"{ADDONS}/mine", own)
    sent: list[Any] = []

    async def patched(request: Any) -> Any:
        sent.extend(await request.json())
        return web.json_response(own)

    async def closed(_: Any) -> Any:
        return refusal(403, "Forbidden", "secrets is forbidden")

    api.script("PATCH", "addons/mine$", patched)
    api.script("GET", "secrets/vault$", closed)
    code, _, err = await run("addons", "upgrade", "demo", "mine", "--set", "a=2", "--timeout", "0")
    assert (code, err) == (0, "")
    assert {"op": "add", "path": "/spec/values", "value": {"a": 2}} in sent


async def test_an_own_addon_that_is_kept_in_git_is_left_alone(api: FakeApi, run: Run) -> None:
    put(api)
    own = addon("mine", source={"inline": INLINE}, values={"a": 1}, metadata=GIT)
    api.put(f"{ADDONS}/mine", own)
    for command in (("remove", "--yes"), ("upgrade", "--set", "a=2")):
        code, _, err = await run("addons", command[0], "demo", "mine", *command[1:])
        assert code == 1
        assert "Addon ns/mine is kept by Argo CD as it stands in Git" in err
    assert not api.writes


async def test_what_belongs_to_another_object_is_changed_there(api: FakeApi, run: Run) -> None:
    put(api)
    owner = {"apiVersion": "kok.dev/v1alpha1", "kind": "Addon", "name": "all", "uid": "1"}
    meta = {"ownerReferences": [{**owner, "controller": True}]}
    api.put(f"{ADDONS}/mine", addon("mine", source={"inline": INLINE}, metadata=meta))
    code, _, err = await run("addons", "remove", "demo", "mine", "--yes")
    assert code == 1
    assert "Addon ns/mine belongs to Addon all; change that instead" in err
    assert not api.writes


async def test_what_comes_with_the_tunnel_is_not_removed_by_name(api: FakeApi, run: Run) -> None:
    put(api, spec={"network": {"tunnel": "Always"}})
    code, _, err = await run("addons", "remove", "demo", "konnectivity-agent", "--yes")
    assert code == 1
    assert "comes and goes with the tunnel; write spec.network.tunnel: Never" in err


async def test_a_built_in_addon_has_no_version_of_its_own(api: FakeApi, run: Run) -> None:
    put(api)
    code, _, err = await run("addons", "upgrade", "demo", "coredns", "--version", "2")
    assert code == 1
    assert "coredns goes to another version with the Kubernetes of its Cluster" in err


@pytest.mark.parametrize(
    ("before", "version", "after"),
    [
        (
            {"helm": {"chart": "x", "version": "1.0.0"}},
            "1.1.0",
            {"helm": {"chart": "x", "version": "1.1.0"}},
        ),
        (
            {"oci": {"reference": "registry:5000/a/b:1@sha256:00"}},
            "2",
            {"oci": {"reference": "registry:5000/a/b:2"}},
        ),
        (
            {"oci": {"reference": "registry:5000/a/b"}},
            "sha256:11",
            {"oci": {"reference": "registry:5000/a/b@sha256:11"}},
        ),
    ],
)
def test_a_chart_or_artifact_goes_to_another_version(
    before: dict[str, Any], version: str, after: dict[str, Any]
) -> None:
    assert of_version(before, version) == after


def test_manifests_have_no_version() -> None:
    with pytest.raises(Refused, match="its source has no versions"):
        of_version({"inline": "x"}, "1")


async def test_a_removal_is_confirmed_and_waited_for(
    api: FakeApi, run: Run, operator: None
) -> None:
    put(api, nodes=2)
    inventory = [{"kind": "CustomResourceDefinition", "name": "things.example.org"}]
    inventory[0] |= {"version": "v1", "plural": "customresourcedefinitions"}
    api.put(f"{ADDONS}/demo-flannel", addon("demo-flannel", status={"inventory": inventory}))
    needs = addon("mine", source={"inline": INLINE}, dependsOn=["demo-flannel"])
    api.put(f"{ADDONS}/mine", needs)
    asked = await asyncio.to_thread(kok, "addons", "remove", "demo", "flannel", input="n\n")
    assert asked.exit_code == 1
    assert "flannel: all objects of things.example.org go with it, unless" in asked.stdout
    assert "flannel: Addon ns/mine depends on it" in asked.stdout
    assert "flannel: it is the network of a cluster with 2 nodes" in asked.stdout
    assert "remove flannel and its 4 objects in Cluster ns/demo? [y/N]" in asked.stdout
    assert not api.writes
    done = await asyncio.to_thread(kok, "addons", "remove", "demo", "flannel", input="y\n")
    assert done.exit_code == 0
    assert written(api) == [{"name": "flannel", "enabled": False}]
    assert f"{ADDONS}/demo-flannel" not in api.objects
    assert done.stdout.splitlines()[-1].endswith(" s  flannel: gone")


async def test_without_nodes_nobody_is_warned_of_a_network_that_goes(
    api: FakeApi, run: Run
) -> None:
    put(api, nodes=0)
    api.put(f"{ADDONS}/demo-flannel", addon("demo-flannel"))
    asked = await asyncio.to_thread(kok, "addons", "remove", "demo", "flannel", input="n\n")
    assert asked.exit_code == 1
    assert "remove flannel and its" in asked.stdout
    assert "network" not in asked.stdout
    assert not api.writes


async def test_nothing_is_removed_where_nobody_answers(api: FakeApi, run: Run) -> None:
    put(api)
    code, _, _ = await run("addons", "remove", "demo", "coredns")
    assert code == 1
    assert not api.writes
