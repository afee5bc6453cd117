"""What counts as added by others, and how often it is removed."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest

from kok.kube.objects.foreign_fields import RemovalLimit, additions, marks, removal


def live(
    spec: dict[str, Any], *records: dict[str, Any], kind: str = "Deployment"
) -> dict[str, Any]:
    """An object with what was recorded of its writers."""
    api = "v1" if kind == "Service" else "apps/v1"
    fields = [
        {"manager": "m", "operation": "Update", "fieldsV1": {"f:spec": tree}} for tree in records
    ]
    meta = {"name": "a", "resourceVersion": "7", "managedFields": fields}
    return {"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec}


def test_a_field_that_nobody_wrote_is_a_default_and_stays() -> None:
    found = additions(live({"replicas": 1, "paused": False}, {"f:replicas": {}}), live({}))
    assert found.fields == {("spec", "replicas")}


def test_later_items_of_a_list_are_removed_first() -> None:
    items = [{"name": n} for n in ("ours", "one", "ours-too", "two")]
    tree = {f'k:{{"name":"{n}"}}': {".": {}, "f:name": {}} for n in ("one", "two", "ours")}
    intent = live({"volumes": [{"name": "ours"}, {"name": "ours-too"}]})
    one = live({"volumes": items, "x/y": 1}, {"f:volumes": tree, "f:x/y": {}})

    found = additions(one, intent)

    assert removal(one, found.fields) == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "remove", "path": "/spec/x~1y"},
        {"op": "remove", "path": "/spec/volumes/3"},
        {"op": "remove", "path": "/spec/volumes/1"},
    ]


def test_what_load_balancers_and_the_api_server_give_out_stays() -> None:
    port = {"port": 1, "nodePort": 30001}
    tree = {
        "f:loadBalancerIP": {},
        "f:externalIPs": {},
        "f:ports": {'k:{"port":1,"protocol":"TCP"}': {".": {}, "f:nodePort": {}}},
    }
    spec = {"loadBalancerIP": "192.0.2.1", "externalIPs": ["192.0.2.2"], "ports": [port]}
    found = additions(live(spec, tree, kind="Service"), live({"ports": [{"port": 1}]}))
    assert found.fields == {("spec", "externalIPs")}


def test_who_adds_much_takes_no_time() -> None:
    items = [{"name": f"a{number}"} for number in range(15_000)]
    tree = {f'k:{{"name":"a{number}"}}': {".": {}, "f:name": {}} for number in range(15_000)}
    spec = {"containers": [{"name": "ours", "env": items}], "hostPID": True}
    record = {"f:containers": {'k:{"name":"ours"}': {"f:env": tree}}}
    one = live({"template": {"spec": spec}}, {"f:template": {"f:spec": record}})
    intent = live({"template": {"spec": {"containers": [{"name": "ours"}]}}})
    intent["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "b"}]

    begin = time.process_time()
    found = additions(one, intent)

    # To look for each in the whole list would take minutes.
    assert time.process_time() - begin < 5
    assert ("spec", "template", "spec", "hostPID") in found.fields
    assert 4096 <= len(found.fields) <= 2 * 4096


def service(ports: int, *trees: dict[str, Any]) -> dict[str, Any]:
    """A Service with that many ports that nobody wants."""
    listed = [{"name": f"p{n}", "port": n, "protocol": "TCP"} for n in range(1, ports + 2)]
    return live({"ports": listed}, *({"f:ports": tree} for tree in trees), kind="Service")


FORGED = {
    "ever other keys": [{f'k:{{"a{n}":1,"port":1}}': {"f:name": {}} for n in range(3000)}],
    "many writers": [{'k:{"port":1}': {}, 'k:{"port":2,"protocol":"TCP"}': {}}] * 3000,
    "long keys": [{f'k:{{"port":"{"x" * 900}{n}"}}': {} for n in range(1000)}],
    "values": [{f"v:{n}": {} for n in range(5000)}],
    "writers of nothing": [{}] * 9000,
}


@pytest.mark.parametrize("trees", FORGED.values(), ids=FORGED)
def test_whatever_records_say_a_list_is_gone_through_once(trees: list[dict[str, Any]]) -> None:
    one, intent = service(3000, *trees), service(0)
    tracemalloc.start()
    begin = time.process_time()
    additions(one, intent)
    assert time.process_time() - begin < 3
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("key", ["v:{}", 'k:{{"name":{}}}', "k:{}"])
def test_a_record_that_cannot_be_read_saves_no_addition(key: str) -> None:
    deep = key.format("[" * 900 + "]" * 900)
    record = {"f:template": {"f:spec": {"f:containers": {deep: {}}, "f:paused": {}}}}
    spec = {"hostNetwork": True, "paused": True, "containers": [{"name": "a"}]}
    one = live({"template": {"spec": spec}}, record)
    intent = live({"template": {"spec": {"containers": [{"name": "a"}]}}})
    found = additions(one, intent).fields
    assert found == {("spec", "template", "spec", field) for field in ("hostNetwork", "paused")}


def test_who_wrote_only_metadata_added_nothing_to_the_spec() -> None:
    one = live({"replicas": 1, "paused": True})
    one["metadata"]["managedFields"] = [{"manager": "m", "fieldsV1": {"f:metadata": {}}}]
    assert not additions(one, live({"replicas": 1})).within


def test_what_is_tolerated_is_told_by_what_it_is_not_by_its_place() -> None:
    sidecar, miner = {"name": "sidecar"}, {"name": "miner"}
    place = frozenset({("spec", "containers", 0)})
    one, other = (marks(live({"containers": [c]}), place) for c in (sidecar, miner))
    assert set(one.values()).isdisjoint(other.values())
    later = frozenset({("spec", "containers", 1)})
    assert list(marks(live({"containers": [miner, sidecar]}), later).values()) == list(one.values())


def test_a_record_that_makes_no_sense_does_no_harm() -> None:
    tree = {"f:volumes": {"k:{": {}, "k:[1]": {}, "v:x": {}, 'k:"name"': {}, "i:0": {}}}
    assert not additions(live({"volumes": [{"name": "a"}]}, tree), live({"volumes": []})).fields


def test_other_kinds_are_shared() -> None:
    job = {**live({"suspend": True}, {"f:suspend": {}}), "apiVersion": "batch/v1", "kind": "Job"}
    assert not additions(job, live({})).fields


def test_removals_from_one_object_are_bounded_in_time() -> None:
    now = [0.0]
    removals = RemovalLimit(limit=2, window=60.0, clock=lambda: now[0])

    assert [removals.allows("a") for _ in range(3)] == [True, True, False]
    assert removals.allows("b")
    now[0] = 61.0
    assert removals.allows("a")
    assert removals.patience("b") == 0.0
    assert removals.patience("a") == 0.0
    assert removals.allows("a")
    assert removals.patience("a") == pytest.approx(61.0)
