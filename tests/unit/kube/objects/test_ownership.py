"""Children and their owners."""

from __future__ import annotations

from typing import Any

from tests.unit.fakeapi import FakeApi
from tests.unit.kube.example_kind import THING, thing

from kok.kube import kinds
from kok.kube.apply.prune import prune
from kok.kube.client import Kube
from kok.kube.objects.children import SURPLUS, children_of, reference_to
from kok.kube.objects.ownership import (
    brought,
    is_owned_by_label,
    label_value,
    owned,
    owned_by,
    owned_by_label,
    owner_keys,
    owner_labels,
)


def secret(name: str, **meta: Any) -> dict[str, Any]:
    """A Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, **meta}}


def test_a_child_is_found_and_goes_with_its_owner() -> None:
    child = owned(secret("a", labels={"x": "y"}), thing())
    meta = child["metadata"]
    assert meta["namespace"] == "ns"
    assert meta["labels"] == {
        "x": "y",
        "app.kubernetes.io/managed-by": "kok",
        "kok.dev/owner-kind": "Thing",
        "kok.dev/owner-name": "t",
    }
    assert owned_by(child, thing())
    assert list(owner_keys(child, THING)) == [("ns", "t")]


def test_a_namesake_owns_nothing() -> None:
    child = owned(secret("a"), thing(uid="u-1"))
    assert not owned_by(child, thing(uid="u-2"))


def test_without_a_reference_the_labels_tell_the_owner() -> None:
    child = secret("a", namespace="ns", labels=owner_labels(thing()))
    assert list(owner_keys(child, THING)) == [("ns", "t")]
    assert list(owner_keys(secret("b", namespace="ns"), THING)) == []


def test_a_name_longer_than_a_label_is_cut_and_stays_unique() -> None:
    one, other = label_value("a" * 80), label_value("a" * 81)
    assert len(one) == 63
    assert one != other
    assert label_value("b" * 63) == "b" * 63
    long = owned(secret("s"), thing("n" * 100))
    assert list(owner_keys(long, THING)) == [("ns", "n" * 100)]


async def test_what_is_left_over_is_removed_and_nothing_else(api: FakeApi, kube: Kube) -> None:
    base = "/api/v1/namespaces/ns/secrets"
    for name in ("keep", "old"):
        api.put(f"{base}/{name}", owned(secret(name), thing()))
    api.put(f"{base}/namesake", owned(secret("namesake"), thing(uid="u-2")))
    api.put(f"{base}/foreign", secret("foreign", namespace="ns"))

    gone = await prune(kube, kinds.SECRET, thing(), keep=["keep"])

    assert gone == ["old"]
    assert {path.rpartition("/")[2] for path in api.objects} == {"keep", "namesake", "foreign"}


def test_of_a_child_that_is_not_needed_only_what_removes_it_is_kept() -> None:
    child = owned(secret("a", uid="u", annotations={"x": "y" * 1000}, labels={"z": "z"}), thing())
    child["metadata"]["ownerReferences"][0]["name"] = "n" * 10_000
    child["metadata"]["ownerReferences"] += [{"uid": f"u-{n}"} for n in range(1000)]
    found = children_of(thing(), ())({**child, "data": {"a": "b"}})
    assert found == reference_to(child)
    assert owned_by(found, thing())
    assert len(str(found)) < 1000


def test_what_is_on_its_way_out_hides_nothing_that_is_still_to_go() -> None:
    keep = children_of(thing(), ())
    going = [owned(secret(f"a{n}", deletionTimestamp="now"), thing()) for n in range(100)]
    rest = [owned(secret(f"b{n}"), thing()) for n in range(100)]
    found = [one["metadata"]["name"] for one in map(keep, [*going, *rest]) if one]
    assert found == [*(f"a{n}" for n in range(SURPLUS)), *(f"b{n}" for n in range(SURPLUS))]


def test_of_a_named_secret_the_record_tells_whose_its_entries_are_and_no_more() -> None:
    record = [
        {
            "manager": "kok",
            "fieldsV1": {"f:data": {"f:a": {}, **{f"f:x{n}": {} for n in range(99)}}},
        },
        {"manager": "other", "fieldsV1": {"f:metadata": {"f:labels": {}}}},
    ]
    live = {**owned(secret("a", uid="u", managedFields=record), thing()), "data": {"a": "YQ=="}}
    kept = children_of(thing(), {"a"})(live)
    assert kept["metadata"]["managedFields"] == [
        {"manager": "kok", "fieldsV1": {"f:data": {"f:a": None}, "f:stringData": {}}}
    ]
    for manager in ("kok", "other"):
        assert brought(kept, manager, ["a"]) == brought(live, manager, ["a"])


def test_the_record_of_what_is_ours_as_a_whole_is_kept_and_of_what_is_anothers_not() -> None:
    record = [{"manager": "x", "fieldsV1": {"f:spec": {}}}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {}}
    mine, theirs = owned(service, thing()), owned(service, thing(uid="u-2"))
    for one in (mine, theirs):
        one["metadata"]["managedFields"] = record
    assert children_of(thing(), {"a"})(mine) == mine
    assert "managedFields" not in children_of(thing(), {"a"})(theirs)["metadata"]


def test_a_label_stands_for_the_owner_where_nothing_is_recorded() -> None:
    """What has neither is somebody's own, and would be used without ever being written."""
    child = owned_by_label(secret("a", uid="u"), thing())
    assert is_owned_by_label(child, thing())
    assert not is_owned_by_label(child, thing(uid="u-2"))
    assert list(owner_keys(child, THING)) == [("ns", "t")]
    assert not brought(child, "kok", ["a"])
    assert brought(secret("a", uid="u", labels=owner_labels(thing())), "kok", ["a"])


async def test_surplus_goes_in_several_passes(api: FakeApi, kube: Kube) -> None:
    base = "/api/v1/namespaces/ns/secrets"
    for number in range(SURPLUS + 3):
        api.put(f"{base}/s{number:02}", owned(secret(f"s{number:02}"), thing()))
    passes = [await prune(kube, kinds.SECRET, thing(), ["s00"]) for _ in range(3)]
    assert [len(gone) for gone in passes] == [SURPLUS, 2, 0]
