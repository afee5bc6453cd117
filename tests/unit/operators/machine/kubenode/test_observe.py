"""What is kept of a KubeNode's Machines for a pass."""

from __future__ import annotations

from tests.unit.operators.machine import builders

from kok.kube.objects.ownership import owned
from kok.operators.machine.kubenode import observe


def test_how_a_node_was_adopted_is_kept() -> None:
    kubenode = builders.kubenode()
    adopted = {"components": [{"name": "kubelet", "version": "1.36.4"}]}
    machine = {"kind": "Machine", "metadata": {"name": "m", "uid": "u"}, "status": {}}
    machine["status"] = {"adopted": adopted, "conditions": [], "facts": {"cpus": 2}}
    kept = observe._own(kubenode, owned(machine, kubenode))
    # A kubelet that is left as it was found is not on its way to what is wanted.
    assert kept["status"] == {"adopted": adopted, "conditions": []}
    assert observe._own(kubenode, machine) == {}
