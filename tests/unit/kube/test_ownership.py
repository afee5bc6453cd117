"""Children and their owners."""

from __future__ import annotations

from typing import Any

from tests.unit.fakeapi import FakeApi
from tests.unit.kube.things import THING, thing

from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.ownership import label_value, owned, owned_by, owner_keys, owner_labels, prune


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
