"""Children are made by their name once, and what somebody else has is left alone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.runtime.children.test_deletion import MAPS, a_map, a_widget

from kok.kube.client import Kube
from kok.kube.objects.ownership import owned_by
from kok.runtime.children.ensure import Children
from kok.runtime.children.rules import ChildRules
from kok.runtime.controller.errors import Invalid, Wait

RULES = ChildRules("test")


def wanted(name: str = "m") -> Any:
    meta = {"name": name}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "b"}}


async def test_a_child_is_made_with_its_owner_and_not_written_again(
    api: FakeApi, kube: Kube
) -> None:
    children = Children(kube, a_widget(), RULES)
    (made,) = await children.ensure([wanted()], {})
    assert owned_by(made, a_widget())
    before = len(api.writes)

    (again,) = await children.ensure([wanted()], {("ConfigMap", "m"): made})

    assert again["data"] == {"a": "b"}
    assert len(api.writes) == before


async def test_a_name_that_somebody_else_has_is_told_in_the_words_of_the_kind(
    api: FakeApi, kube: Kube
) -> None:
    theirs = {"name": "m", "namespace": "ns"}
    api.put(f"{MAPS}/m", {**wanted(), "metadata": theirs, "data": {"theirs": "x"}})
    rules = ChildRules("test", taken="Taken")

    with pytest.raises(Wait, match="exists already and does not belong to Widget ns/w") as refused:
        await Children(kube, a_widget(), rules).ensure([wanted()], {})

    assert refused.value.reason == "Taken"
    assert api.objects[f"{MAPS}/m"]["data"] == {"theirs": "x"}


async def test_all_are_tried_before_the_first_error_is_told(api: FakeApi, kube: Kube) -> None:
    theirs = a_map("m")
    theirs["metadata"]["ownerReferences"][0] |= {"uid": "other", "kind": "Gadget", "name": "g"}
    api.put(f"{MAPS}/m", theirs)

    with pytest.raises(Invalid, match="belongs to Gadget g"):
        await Children(kube, a_widget(), RULES).ensure([wanted(), wanted("n")], {})

    assert f"{MAPS}/n" in api.objects
