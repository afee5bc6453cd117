"""`kok addons diff`: what a business cluster says would be changed, and nothing is."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from tests.unit.cli.addons.things import ADDONS, INLINE, addon, put
from tests.unit.cli.things import Run
from tests.unit.fakeapi import FakeApi, merge, refusal

CONFIGS = "/api/v1/namespaces/default/configmaps"
KINDS = {"version": "v1", "kind": "ConfigMap", "plural": "configmaps", "namespace": "default"}


def config(name: str, value: str, owner: str = "mine") -> dict[str, Any]:
    meta = {"name": name, "namespace": "default", "labels": {"kok.dev/addon": owner}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": value}}


@pytest.fixture
def business(api: FakeApi, joined: FakeApi) -> FakeApi:
    """The API server of a Cluster, which answers what would be if it is asked by a dry run."""

    async def dry(request: web.Request) -> web.StreamResponse | None:
        if request.query.get("dryRun") != "All":
            return None
        assert request.query["fieldManager"] == "kok-cluster"
        if "/nowhere/" in request.path:
            return refusal(404, "NotFound", 'namespaces "nowhere" not found', {"name": "nowhere"})
        body = await request.json()
        if body["metadata"]["name"] == "refused":
            return refusal(422, "Invalid", "data: field is immutable")
        return web.json_response(merge(joined.objects.get(request.path, {}), body))

    joined.script("PATCH", ".", dry)
    put(api)
    return joined


def mine(api: FakeApi, text: str, *inventory: str, **values: Any) -> None:
    known = [{**KINDS, "name": name} for name in inventory]
    parts: dict[str, Any] = {"source": {"inline": text}, "values": values}
    api.put(f"{ADDONS}/mine", addon("mine", **parts, status={"inventory": known}))


async def test_without_a_difference_nothing_is_printed(
    api: FakeApi, run: Run, business: FakeApi
) -> None:
    mine(api, INLINE.replace("name: x", "name: x, namespace: default"), "x", a=1)
    business.put(f"{CONFIGS}/x", config("x", "1"))
    assert await run("addons", "diff", "demo", "mine") == (0, "", "")
    assert not api.writes


async def test_a_value_shows_what_it_changes_and_changes_nothing(
    api: FakeApi, run: Run, business: FakeApi
) -> None:
    mine(api, INLINE.replace("name: x", "name: x, namespace: default"), "x", "old", "foreign", a=1)
    business.put(f"{CONFIGS}/x", config("x", "1"))
    business.put(f"{CONFIGS}/old", config("old", "9"))
    business.put(f"{CONFIGS}/foreign", config("foreign", "9", "somebody"))
    before = dict(business.objects)
    code, out, err = await run("addons", "diff", "demo", "mine", "--set", "a=2")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == ("diff -u -N LIVE/v1.ConfigMap.default.x MERGED/v1.ConfigMap.default.x")
    assert "-  a: '1'" in lines
    assert "+  a: '2'" in lines
    # What is no longer wanted goes, unless it is another's.
    assert "-  a: '9'" in lines
    assert "foreign" not in out
    assert business.objects == before
    assert api.objects[f"{ADDONS}/mine"]["spec"]["values"] == {"a": 1}


async def test_what_goes_is_shown_also_where_its_version_is_gone(
    api: FakeApi, run: Run, business: FakeApi
) -> None:
    thing = {
        "group": "example.com",
        "version": "v1alpha1",
        "kind": "Thing",
        "plural": "things",
        "namespace": "default",
    }
    api.put(
        f"{ADDONS}/mine",
        addon("mine", source={"inline": ""}, status={"inventory": [{**thing, "name": "one"}]}),
    )
    found = {**config("one", "1"), "apiVersion": "example.com/v1", "kind": "Thing"}
    business.put("/apis/example.com/v1/namespaces/default/things/one", found)
    served = {"resources": [{"kind": "Thing", "name": "things", "namespaced": True}]}

    async def discovery(request: web.Request) -> web.Response:
        match request.path.split("/")[3:]:
            case []:
                return web.json_response({"versions": [{"version": "v1"}]})
            case ["v1"]:
                return web.json_response(served)
        return refusal(404, "NotFound", "the server could not find the requested resource")

    business.script("GET", "/apis/example.com(/v1|/v1alpha1/.*)?$", discovery)
    code, out, _ = await run("addons", "diff", "demo", "mine")
    assert code == 1
    assert "-kind: Thing" in out


async def test_what_is_not_there_yet_is_new_as_a_whole(
    api: FakeApi, run: Run, business: FakeApi
) -> None:
    thing = "apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: t, namespace: default}\n"
    inside = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y, namespace: nowhere}\n"
    mine(api, f"{thing}---\n{inside}")
    code, out, err = await run("addons", "diff", "demo", "mine")
    assert (code, err) == (1, "")
    assert "+kind: Thing" in out
    assert "+  namespace: nowhere" in out


async def test_what_the_cluster_refuses_is_told_and_is_no_difference(
    api: FakeApi, run: Run, business: FakeApi
) -> None:
    mine(api, INLINE.replace("name: x", "name: refused, namespace: default"), a=1)
    code, out, err = await run("addons", "diff", "demo", "mine")
    assert (code, out) == (2, "")
    assert err == (
        "kok: the business cluster refuses ConfigMap default/refused: data: field is immutable\n"
    )


async def test_what_another_addon_has_is_left_alone(
    api: FakeApi, run: Run, business: FakeApi
) -> None:
    mine(api, INLINE.replace("name: x", "name: x, namespace: default"), a=1)
    business.put(f"{CONFIGS}/x", config("x", "9", "theirs"))
    api.put(f"{ADDONS}/theirs", addon("theirs", source={"inline": INLINE}))
    code, out, err = await run("addons", "diff", "demo", "mine")
    assert (code, out) == (2, "")
    assert err == "kok: ConfigMap default/x already belongs to Addon theirs\n"


async def test_what_the_addon_leaves_to_others_is_no_difference(
    api: FakeApi, run: Run, business: FakeApi
) -> None:
    mine(api, INLINE.replace("name: x", "name: x, namespace: default"), a=1)
    ignore = [{"kind": "ConfigMap", "paths": ["/data/a"]}]
    own = api.objects[f"{ADDONS}/mine"]
    api.put(f"{ADDONS}/mine", {**own, "spec": {**own["spec"], "ignore": ignore}})
    business.put(f"{CONFIGS}/x", config("x", "9"))
    assert await run("addons", "diff", "demo", "mine") == (0, "", "")


@pytest.mark.parametrize("path", ["/metadata/labels", "/metadata/labels/*"])
async def test_the_mark_of_an_addon_is_shown_though_labels_are_left_to_others(
    api: FakeApi, run: Run, business: FakeApi, path: str
) -> None:
    mine(api, INLINE.replace("name: x", "name: x, namespace: default"), a=1)
    ignore = [{"kind": "ConfigMap", "paths": [path, "/metadata/annotations"]}]
    own = api.objects[f"{ADDONS}/mine"]
    api.put(f"{ADDONS}/mine", {**own, "spec": {**own["spec"], "ignore": ignore}})
    there = config("x", "1")
    there["metadata"] = {"name": "x", "namespace": "default", "labels": {"team": "theirs"}}
    business.put(f"{CONFIGS}/x", there)
    code, out, err = await run("addons", "diff", "demo", "mine")
    assert (code, err) == (1, "")
    lines = [one for one in out.splitlines() if one[0] in "+-" and one[:3] not in ("+++", "---")]
    assert lines == ["+    kok.dev/addon: mine"]


async def test_a_built_in_addon_is_shown_with_values_before_it_is_there(
    api: FakeApi, run: Run, business: FakeApi
) -> None:
    code, out, err = await run("addons", "diff", "demo", "coredns", "--set", "replicas=5")
    assert (code, err) == (1, "")
    assert "+++ MERGED/apps.v1.Deployment.kube-system.coredns" in out
    assert "+  replicas: 5" in out


async def test_another_version_of_kubernetes_brings_other_images(
    api: FakeApi, run: Run, business: FakeApi
) -> None:
    _, now, _ = await run("addons", "diff", "demo", "kube-proxy")
    code, then, _ = await run("addons", "diff", "demo", "kube-proxy", "--kubernetes", "1.36.4")
    assert code == 1
    assert "kube-proxy:v1.37.1" in now
    assert "kube-proxy:v1.36.4" in then
    code, _, err = await run("addons", "diff", "demo", "kube-proxy", "--kubernetes", "1.7.0")
    assert code == 2
    assert "1.7" in err


async def test_without_a_name_all_are_compared(api: FakeApi, run: Run, business: FakeApi) -> None:
    mine(api, INLINE.replace("name: x", "name: x, namespace: default"), a=1)
    code, out, _ = await run("addons", "diff", "demo")
    assert code == 1
    for name in ("coredns", "kube-proxy", "kube-flannel"):
        assert f"+  name: {name}" in out
    assert "MERGED/v1.ConfigMap.default.x" in out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("demo", "nobody"), "nobody is not built in"),
        (("demo", "--set", "a=b"), "values are one addon's"),
        (("demo", "coredns", "--set", "nonsense=1"), "coredns does not take it"),
        (("nobody",), "there is no Cluster nobody"),
    ],
)
async def test_what_cannot_be_told_ends_with_2(
    api: FakeApi, run: Run, business: FakeApi, arguments: tuple[str, ...], word: str
) -> None:
    code, out, err = await run("addons", "diff", *arguments)
    assert (code, out) == (2, "")
    assert word in err
