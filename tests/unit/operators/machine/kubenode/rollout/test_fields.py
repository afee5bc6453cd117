"""What of a Machine differs from what it is to have."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.machine import builders

from kok.api.machine.machine import GoodSoftware
from kok.operators.machine.kubenode.rollout import fields

KUBELET = {"name": "kubelet", "version": "1.37.1"}


@pytest.mark.parametrize(
    ("wanted", "found", "differs"),
    [
        ({}, {"artifacts": {"baseURL": ""}}, False),
        ({"artifacts": {"baseURL": "http://a"}}, {"artifacts": {"baseURL": ""}}, True),
        ({}, {"artifacts": {"baseURL": "http://a"}}, True),
        ({"addresses": ["192.0.2.1"]}, {"addresses": []}, True),
        ({}, {"addresses": []}, False),
        ({"components": [KUBELET]}, {"components": [{**KUBELET, "params": {"a": 1}}]}, True),
        ({"components": [KUBELET]}, {"components": [{**KUBELET, "params": {}}]}, False),
    ],
)
def test_what_the_api_server_fills_in_is_no_difference(
    wanted: dict[str, Any], found: dict[str, Any], differs: bool
) -> None:
    """Otherwise the first node would be in turn for ever, and no other one would be changed."""
    assert fields.differs({"spec": wanted}, {"spec": found}, fields.SOFTWARE) is differs


@pytest.mark.parametrize(
    ("wanted", "found", "differs"),
    [
        # Who serves is not adopted any more: to ask for it disturbs nobody.
        ({"adopt": True}, {"adopt": False}, False),
        ({"adopt": True}, {}, False),
        ({}, {"adopt": False}, False),
        # What was left as it was found gets what the spec says.
        ({}, {"adopt": True}, True),
    ],
)
def test_to_have_nodes_adopted_no_longer_is_a_rollout_and_to_ask_for_it_is_none(
    wanted: dict[str, Any], found: dict[str, Any], differs: bool
) -> None:
    assert fields.differs({"spec": wanted}, {"spec": found}, fields.ROLLED) is differs


def test_whoever_waits_for_his_turn_stays_adopted_and_who_is_to_be_is_told_at_once() -> None:
    waiting = fields.without({"spec": {}}, {"spec": {"adopt": True}}, fields.SOFTWARE)
    assert waiting["spec"] == {"adopt": True}
    asked = fields.without({"spec": {"adopt": True}}, {"spec": {"adopt": False}}, fields.SOFTWARE)
    assert asked["spec"] == {"adopt": True}


def test_what_goes_back_is_left_as_it_was_found_again() -> None:
    good = GoodSoftware(id="x", since=builders.NOW, adopt=True)
    assert fields.with_good({"spec": {"components": [KUBELET]}}, good)["spec"]["adopt"] is True
    plain = good.model_copy(update={"adopt": False})
    assert "adopt" not in fields.with_good({"spec": {"adopt": True}}, plain)["spec"]
