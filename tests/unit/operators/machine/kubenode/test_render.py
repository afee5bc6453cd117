"""What Machines KubeNodes make of their hosts."""

from __future__ import annotations

from typing import Any

import yaml
from tests.unit.golden import machine as golden
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.kubenode.living import host

from kok.api.machine.host import Host
from kok.api.meta import Manifest
from kok.operators.machine.kubenode import render, software


def intents(count: int = 3, **spec: Any) -> dict[str, Manifest]:
    names = [f"w{n}" for n in range(1, count + 1)]
    kubenode = builders.kubenode(
        hosts=[{"name": n, "address": f"{n}.example"} for n in names], **spec
    )
    wanted = software.software(kubenode, builders.cluster(), "1.37.1", [])
    ssh = kubenode.spec.ssh
    assert ssh
    made = [render.machine(kubenode, render.inline(h, ssh), wanted) for h in kubenode.spec.hosts]
    return {m["metadata"]["name"]: m for m in made}


def test_machines_change_only_on_purpose() -> None:
    made = intents(
        1,
        labels={"tier": "gold"},
        taints=[{"key": "dedicated", "value": "shop", "effect": "NoSchedule"}],
        artifacts={"baseURL": "http://artifacts.example"},
        registry={"mirrors": {"*": ["http://mirror:5000"]}},
        kubelet={"maxPods": 50},
    )
    golden.check("machine.yaml", yaml.safe_dump_all(made.values(), sort_keys=False, width=100))


def test_a_hosts_key_is_handed_on() -> None:
    fingerprint = "SHA256:" + "A" * 43
    plain = host("a")
    assert render.pooled(plain).host_key == ""
    recorded = Host.parse({**plain.manifest(), "status": {"hostKey": fingerprint}})
    assert render.pooled(recorded).host_key == fingerprint


def test_the_policy_for_what_fails_is_handed_on_where_it_is_not_the_usual_one() -> None:
    assert all("remediation" not in made["spec"] for made in intents().values())
    given = {"mode": "Report", "maxUnhealthy": 2, "upTo": "Reboot"}
    for made in intents(remediation=given).values():
        assert given.items() <= made["spec"]["remediation"].items()
