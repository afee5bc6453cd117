"""The Node of a kubelet that was just started, made before that kubelet would make it.

A kubelet asks for its Node in order to make its CSINode as soon as it has credentials, and registers
the Node itself only once its runtime and its container manager run. If that takes it more than three
seconds, as it does on a busy host, it asks again after fifteen more, and is not Ready before
(`initializeCSINode` of Kubernetes 1.37: steps of 30 ms, each eight times as long as the one before).
A Node that is there already is found at the first look; the kubelet takes it over as it takes its own
after a restart. The controllers begin with it, too: addresses for pods, pods of DaemonSets.
"""

from __future__ import annotations

from typing import Any

import structlog

from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import AlreadyExists, KubeError

_ATTACHES = "volumes.kubernetes.io/controller-managed-attach-detach"
_log = structlog.stdlib.get_logger("kok.machine")


def manifest(machine: Machine, arch: str) -> Manifest:
    """With what a kubelet would register it; labels of the spec come once they are recorded."""
    spec = machine.spec
    taints = [taint.manifest() for taint in spec.taints]
    body: dict[str, Any] = {
        "apiVersion": kinds.NODE.api_version,
        "kind": kinds.NODE.kind,
        "metadata": {
            "name": spec.node,
            "labels": {
                "kubernetes.io/hostname": spec.node,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": arch,
            },
            "annotations": {_ATTACHES: "true"},
        },
    }
    # So that no pod slips in before the operator sets them.
    return {**body, "spec": {"taints": taints}} if taints else body


async def make(kube: Kube, machine: Machine, arch: str) -> None:
    """Makes it, if the kubelet was not quicker. Without it a node comes all the same, only later."""
    try:
        await kube.create(manifest(machine, arch))
    except AlreadyExists:
        return
    except KubeError as error:
        _log.info("node not made early", node=machine.spec.node, error=error.message)
