"""Hosts and Machines of a KubeNode."""

from __future__ import annotations

from tests.unit.operators.machine import builders

from kok.api.machine.host import Host
from kok.api.machine.machine import Machine

READY = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": name,
            "status": "True",
            "reason": "Good",
            "message": "",
            "lastTransitionTime": "2026-11-02T12:00:00Z",
        }
        for name in ("Ready", "UpToDate")
    ],
}


def host(name: str, *, deleting: bool = False, dirty: bool = False, **labels: str) -> Host:
    extra = {"deletionTimestamp": "2026-11-02T12:00:00Z"} if deleting else {}
    use = {"machine": f"shop-workers-{name}", "uid": "gone", "cluster": "shop"}
    return Host.parse(
        {
            "status": {"usedBy": use} if dirty else {},
            "metadata": builders.meta(name, labels=labels, **extra),
            "spec": {"address": f"{name}.example", "ssh": {"secret": "ops-ssh"}},
        }
    )


def on(name: str, *, ready: bool = True, deleting: bool = False) -> Machine:
    extra = {"deletionTimestamp": "2026-11-02T12:00:00Z"} if deleting else {}
    return builders.machine(
        metadata={"name": f"shop-workers-{name}", **extra},
        node=name,
        address=f"{name}.example",
        status=READY if ready else {},
    )
