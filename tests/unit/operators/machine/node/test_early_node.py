"""The Node that is there before its kubelet."""

from __future__ import annotations

from tests.unit.operators.machine import builders

from kok.operators.machine.node import early_node, nodes


def test_it_is_the_node_that_its_kubelet_would_register() -> None:
    taint = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    machine = builders.machine(node="w1", taints=[taint], labels={"zone": "a"})
    made = early_node.manifest(machine, "arm64")
    assert made["metadata"]["name"] == "w1"
    assert made["metadata"]["labels"] == {
        "kubernetes.io/hostname": "w1",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "arm64",
    }
    # No pod slips in before the kubelet is there.
    assert made["spec"] == {"taints": [taint]}
    seen = nodes.view({**made, "metadata": {**made["metadata"], "uid": "u"}})
    assert not seen.registered
    assert seen.ready is None
