"""`kok addons` as a user sees it, against an API server in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from tests.unit.cli.things import PATH, Run, kok
from tests.unit.fakeapi import FakeApi, refusal

from kok.cli.addons.own import of_version
from kok.cli.query import Refused
from kok.kube import watch as watching

HERE = PATH.format("ns")
ADDONS = "/apis/kok.dev/v1alpha1/namespaces/ns/addons"
MACHINES = "/apis/kok.dev/v1alpha1/namespaces/ns/machines"
GIT = {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches that end begin again without a pause."""
    monkeypatch.setattr(watching.random, "uniform", lambda *_: 0.0)


def put(api: FakeApi, *addons: dict[str, Any], **parts: Any) -> dict[str, Any]:
    meta = {"namespace": "ns", "creationTimestamp": "2026-01-01T22:00:00Z"}
    status = {
        "version": "1.37.1",
        "endpoint": "https://192.0.2.1:6443",
        "nodes": {"ready": 0, "total": parts.get("nodes", 0)},
    }
    made = {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {**meta, **parts.get("metadata", {})},
        "spec": {"version": "1.37.1", "addons": list(addons), **parts.get("spec", {})},
        "status": status,
    }
    return api.put(HERE, made)


def addon(name: str, reason: str = "AsWanted", message: str = "fine", **parts: Any) -> Any:
    """An Addon; one that comes with the Cluster unless it has another source."""
    told = "True" if reason in {"AsWanted", "WaitingForNodes"} else "False"
    ready = {"type": "Ready", "status": told, "reason": reason, "message": message}
    ready |= {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    spec = {"cluster": "demo", "source": {"builtin": name.removeprefix("demo-")}}
    status = {"observedGeneration": 1, "version": "v1", "workloads": "1/1", "objects": 4}
    status |= {"conditions": [ready], **parts.pop("status", {})}
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Addon",
        "metadata": {"name": name, "namespace": "ns", **parts.pop("metadata", {})},
        "spec": {**spec, **parts},
        "status": status,
    }


def gpu(api: FakeApi) -> None:
    spec = {"cluster": "demo", "node": "w1", "address": "192.0.2.21"}
    machine = {"apiVersion": "kok.dev/v1alpha1", "kind": "Machine", "spec": spec}
    meta = {"namespace": "ns", "name": "w1"}
    status = {"facts": {"gpu": {"count": 2}}}
    api.put(f"{MACHINES}/w1", {**machine, "metadata": meta, "status": status})


@pytest.fixture
def operator(api: FakeApi) -> None:
    """A cluster operator in small: each Addon as `spec.addons` wants it, and Ready."""
    default = {"coredns", "flannel", "kube-proxy"}

    def work() -> None:
        spec = api.objects[HERE]["spec"]
        asked = {one["name"]: one for one in spec.get("addons") or ()}
        on = {n for n in default | asked.keys() if asked.get(n, {}).get("enabled", True)}
        for name in sorted(on):
            values = asked.get(name, {}).get("values") or {}
            path = f"{ADDONS}/demo-{name}"
            if api.objects.get(path, {}).get("spec", {}).get("values") != values:
                api.put(path, addon(f"demo-{name}", values=values))
        ours = [p for p in api.objects if p.startswith(f"{ADDONS}/demo-")]
        for path in ours:
            if path.removeprefix(f"{ADDONS}/demo-") not in on:
                api.drop(path)

    async def watched(request: Any) -> None:
        if "watch" in request.query:
            asyncio.get_running_loop().call_later(0.1, work)

    api.script("GET", "addons$", watched)


def written(api: FakeApi) -> Any:
    return api.objects[HERE]["spec"].get("addons")


async def test_all_that_suits_is_installed_and_the_rest_has_a_reason(
    api: FakeApi, run: Run, operator: None
) -> None:
    put(api)
    gpu(api)
    code, out, err = await run("addons", "install", "demo", "--all", "-n", "ns")
    assert (code, err) == (0, "")
    assert {"name": "nvidia-device-plugin"} in written(api)
    lines = out.splitlines()
    assert "nvidia-device-plugin: added to spec.addons of Cluster ns/demo" in lines
    assert "coredns: is there already" in lines
    [why] = [line for line in lines if line.startswith("konnectivity-agent: ")]
    assert why.startswith("konnectivity-agent: left out: spec.network.tunnel is Never")
    followed = {line.partition(" s  ")[2] for line in lines}
    assert "nvidia-device-plugin: Ready v1: fine" in followed


async def test_what_does_not_suit_is_refused_by_name_and_nothing_is_written(
    api: FakeApi, run: Run
) -> None:
    put(api)
    code, out, err = await run("addons", "install", "demo", "nvidia-device-plugin")
    assert (code, out) == (1, "")
    assert "nvidia-device-plugin does not suit Cluster ns/demo: no Machine of the cluster" in err
    assert not api.writes


async def test_values_are_written_with_the_addon_and_other_addons_stay_as_they_are(
    api: FakeApi, run: Run, operator: None, tmp_path: Path
) -> None:
    other = {"name": "kube-proxy", "values": {"mode": "nftables"}}
    put(api, other)
    file = tmp_path / "values.yaml"
    file.write_text("replicas: 3\n")
    settings = ("--set", "replicas=4", "--values", str(file))
    code, out, err = await run("addons", "install", "demo", "coredns", *settings)
    assert (code, err) == (0, "")
    assert written(api) == [other, {"name": "coredns", "values": {"replicas": 4}}]
    assert "coredns: changed in spec.addons of Cluster ns/demo" in out
    assert api.objects[f"{ADDONS}/demo-coredns"]["spec"]["values"] == {"replicas": 4}


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("nonsense=1", "values.nonsense: coredns does not take it"),
        ("replicas=many", "values.replicas must be a whole number"),
    ],
)
async def test_values_that_it_cannot_take_are_refused_before_anything_is_written(
    api: FakeApi, run: Run, setting: str, word: str
) -> None:
    put(api)
    code, _, err = await run("addons", "install", "demo", "coredns", "--set", setting)
    assert code == 1
    assert "ValuesInvalid" in err
    assert not api.writes


async def test_somebody_elses_change_meanwhile_is_kept(
    api: FakeApi, run: Run, operator: None
) -> None:
    put(api)
    theirs = {"name": "kube-proxy", "values": {"mode": "nftables"}}
    raced: list[bool] = []

    async def race(request: Any) -> None:
        if not raced:
            raced.append(True)
            put(api, theirs)

    api.script("PATCH", "clusters/demo$", race)
    code, _, _ = await run("addons", "install", "demo", "coredns", "--set", "replicas=4")
    assert code == 0
    assert written(api) == [theirs, {"name": "coredns", "values": {"replicas": 4}}]


async def test_of_a_cluster_that_is_kept_in_git_the_lines_for_git_are_said(
    api: FakeApi, run: Run
) -> None:
    mine = {"name": "kube-proxy", "values": {"mode": "nftables"}}
    put(api, mine, metadata=GIT)
    code, out, _ = await run("addons", "install", "demo", "coredns", "--set", "replicas=4")
    assert code == 1
    assert not api.writes
    first, _, rest = out.partition("\n")
    assert first.startswith("Cluster ns/demo is kept by Argo CD as it stands in Git")
    assert yaml.safe_load(rest) == {
        "spec": {"addons": [mine, {"name": "coredns", "values": {"replicas": 4}}]}
    }


async def test_who_writes_the_spec_counts_where_there_is_no_mark(api: FakeApi, run: Run) -> None:
    wrote = {"manager": "kustomize-controller", "fieldsV1": {"f:spec": {}}}
    put(api, metadata={"managedFields": [wrote]})
    _, out, _ = await run("addons", "remove", "demo", "coredns", "--yes")
    assert "is kept by Flux" in out
    assert not api.writes


async def test_a_paused_cluster_is_written_and_not_waited_for(api: FakeApi, run: Run) -> None:
    put(api, spec={"paused": True})
    code, out, _ = await run("addons", "install", "demo", "coredns", "--set", "replicas=4")
    assert code == 0
    assert "Cluster ns/demo is paused; what is written takes effect once" in out
    assert written(api)


async def test_what_is_not_ready_in_time_is_told(api: FakeApi, run: Run) -> None:
    put(api)
    api.put(f"{ADDONS}/demo-coredns", addon("demo-coredns", "NotHealthy", "0/2"))
    code, out, _ = await run("addons", "install", "demo", "coredns", "--timeout", "0.5")
    assert code == 1
    assert "coredns: NotHealthy: 0/2" in out
    assert "not yet as asked for: coredns" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("install", "demo"), "say which addon to install, or --all"),
        (("install", "demo", "coredns", "--all"), "say which addon to install, or --all"),
        (("install", "demo", "coredns", "--chart", "oci://x/y"), "or --chart"),
        (("install", "demo", "coredns", "--version", "1"), "are for a chart of your own"),
        (("install", "demo", "--all", "--set", "a=b"), "values are one addon's"),
        (("upgrade", "demo", "coredns"), "say what to change"),
        (("install", "demo", "coredns", "--set", "a"), "write it as name=value"),
    ],
)
async def test_what_makes_no_sense_is_refused_in_a_sentence(
    api: FakeApi, run: Run, arguments: tuple[str, ...], word: str
) -> None:
    put(api)
    code, _, err = await run("addons", *arguments)
    assert code == 1
    assert word in err


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


INLINE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: '{{ values.a }}'}\n"


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


async def test_the_list_has_what_is_there_and_a_reason_for_the_rest(api: FakeApi, run: Run) -> None:
    put(api, {"name": "kube-proxy", "enabled": False})
    api.put(f"{ADDONS}/demo-coredns", addon("demo-coredns"))
    api.put(f"{ADDONS}/demo-flannel", addon("demo-flannel", "NotHealthy", "0/1\x1b[2J"))
    api.put(f"{ADDONS}/mine", addon("mine", "WaitingForNodes", source={"inline": "x" * 999}))
    api.put(f"{ADDONS}/others", {**addon("others"), "spec": {"cluster": "x", "source": {}}})
    code, out, err = await run("addons", "list", "demo")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: " ".join(line.split()) for line in out.splitlines()}
    assert rows["coredns"] == "coredns built in v1 1/1 Ready"
    assert "Pending NotHealthy: 0/1?[2J" in rows["flannel"]
    assert "Unsuitable it is switched off in spec.addons" in rows["kube-proxy"]
    assert "Unsuitable no Machine of the cluster has a GPU" in rows["nvidia-device-plugin"]
    assert "Waiting WaitingForNodes" in rows["mine"]
    assert "inline" in rows["mine"]
    assert "others" not in rows


async def test_who_may_not_list_machines_is_told_why_a_gpu_is_not_known(
    api: FakeApi, run: Run
) -> None:
    put(api)

    async def no(request: Any) -> Any:
        return refusal(403, "Forbidden", "no")

    api.script("GET", "machines", no)
    code, out, _ = await run("addons", "list", "demo")
    assert code == 0
    assert "who asks may not list Machines" in out
