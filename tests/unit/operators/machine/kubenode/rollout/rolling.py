"""Machines of a KubeNode whose software is changed, and what is planned for them."""

from __future__ import annotations

from typing import Any

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW

from kok.api.machine.rollout import Rollout
from kok.api.meta import Manifest
from kok.operators.machine.kubenode import render, software
from kok.operators.machine.kubenode.rollout.fields import disturbs
from kok.operators.machine.kubenode.rollout.plan import plan
from kok.operators.machine.kubenode.rollout.scene import RolloutView

NAMES = ("w1", "w2", "w3")


def intents(access: str = "a", **spec: Any) -> dict[str, Manifest]:
    kubenode = builders.kubenode(
        hosts=[{"name": n, "address": f"{n}.example"} for n in NAMES], **spec
    )
    wanted = software.software(kubenode, builders.cluster(), "1.37.1", [])
    ssh = kubenode.spec.ssh
    assert ssh
    made = {}
    for host in kubenode.spec.hosts:
        found = render.machine(kubenode, render.inline(host, ssh), wanted, access and access * 16)
        made[host.name] = {**found, "metadata": {**found["metadata"], "name": host.name}}
    return made


NEWER = {"runtime": {"version": "2.4.0"}}


def status(
    ready: str = "True", node: str = "True", up_to_date: str = "True", **more: Any
) -> dict[str, Any]:
    conditions = [
        {
            "type": name,
            "status": holds,
            "reason": "Any",
            "message": "",
            "lastTransitionTime": "2026-11-02T12:00:00Z",
        }
        for name, holds in (("Ready", ready), ("NodeReady", node), ("UpToDate", up_to_date))
    ]
    served = {"firstReady": "2026-11-02T11:00:00Z"}
    return {"observedGeneration": 1, "conditions": conditions, **served, **more}


SERVING = status()
FRESH = status("False", "Unknown", "False", firstReady=None)
CHANGING = status("True", "True", "False")
UNKNOWN = status("False", "Unknown")
BROKEN = status("False", "False")


def living(wanted: dict[str, Manifest], **states: dict[str, Any]) -> dict[str, Manifest]:
    return {
        name: {
            **m,
            "metadata": {**builders.meta(name), **m["metadata"]},
            "status": states.get(name, SERVING),
        }
        for name, m in wanted.items()
    }


def changed(wanted: dict[str, Manifest], lives: dict[str, Manifest]) -> list[str]:
    now = changeable(wanted, lives)
    assert set(now) == set(wanted)
    return [name for name, intent in now.items() if disturbs(intent, lives[name])]


def changeable(
    wanted: dict[str, Manifest], lives: dict[str, Manifest], *, held: bool = False
) -> dict[str, Manifest]:
    """The Machines as they may be now, by the policy that holds if nobody asks for another."""
    return plan(RolloutView(wanted, lives, Rollout(), "5m", NOW, held=held)).machines
