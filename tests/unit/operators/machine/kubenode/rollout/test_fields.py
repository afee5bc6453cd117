"""What of a Machine differs from what it is to have."""

from __future__ import annotations

from typing import Any

import pytest

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
