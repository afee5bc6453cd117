"""Objects for tests: complete and right, but for what a test changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kok.api.cluster.cluster import Cluster
from kok.api.machine.component import Component
from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine
from kok.operators.machine.component import catalog
from kok.operators.machine.remote.survey import Survey
from kok.operators.machine.systems import table

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
VERSIONS = {
    "cni-plugins": "1.9.1",
    "containerd": "2.3.7",
    "host-prep": "1",
    "kubelet": "1.37.1",
    "runc": "1.1.5",
}
"""What a node with containerd has."""
DOCKER = {"docker": "20.10.24", "cri-dockerd": "0.4.3"}
PROBLEMS = {"node-problem-detector": "1.34.0"}
GPU = {"nvidia-driver": "595.91.07", "nvidia-toolkit": "1.20.2"}
"""What hosts with GPUs get beside."""
EVERYTHING = {**VERSIONS, **DOCKER, **GPU, **PROBLEMS}


def meta(default: str, **more: Any) -> dict[str, Any]:
    name = more.pop("name", default)
    return {
        "name": name,
        "namespace": "team-a",
        "uid": f"uid-{name}",
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": "2026-11-02T11:59:00Z",
        **more,
    }


def machine(
    *, metadata: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **spec: Any
) -> Machine:
    base = {
        "cluster": "shop",
        "node": "w1",
        "address": "192.0.2.21",
        "ssh": {"user": "ops", "secret": "ops-ssh"},
        "artifacts": {"baseURL": "http://artifacts.example"},
        "components": [{"name": n, "version": v} for n, v in VERSIONS.items()],
    }
    return Machine.parse(
        {
            "metadata": meta("shop-workers-w1", **(metadata or {})),
            "spec": {**base, **spec},
            "status": status or {},
        }
    )


def cluster(*, status: dict[str, Any] | None = None, **spec: Any) -> Cluster:
    return Cluster.parse(
        {
            "metadata": meta("shop"),
            "spec": {"version": "1.37.1", **spec},
            "status": status or {},
        }
    )


def kubenode(
    *, metadata: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **spec: Any
) -> KubeNode:
    base: dict[str, Any] = {"cluster": "shop", "ssh": {"user": "ops", "secret": "ops-ssh"}}
    if "pool" not in spec:
        base["hosts"] = [{"name": "w1", "address": "192.0.2.21"}]
    return KubeNode.parse(
        {
            "metadata": meta("shop-workers", **(metadata or {})),
            "spec": {**base, **spec},
            "status": status or {},
        }
    )


def builtin(name: str, version: str = "") -> Component:
    """A Component that comes with KOK, with sums of both architectures."""
    version = version or EVERYTHING[name]
    sums = {s.path: "ab" * 32 for s in catalog.sources(name, version)}
    made = catalog.manifest(name, version, sums)
    return Component.parse(
        {**made, "metadata": {**made["metadata"], **meta(made["metadata"]["name"])}}
    )


def component(name: str = "tool", version: str = "1.0", **spec: Any) -> Component:
    scripts = {"probe": "echo {{ version }}", **spec.pop("scripts", {})}
    return Component.parse(
        {
            "metadata": meta(f"{name}-{version}"),
            "spec": {"name": name, "version": version, "scripts": scripts, **spec},
        }
    )


def survey(**changes: Any) -> Survey:
    facts = {
        "hostname": "worker-1",
        "machineID": "f" * 32,
        "system": "Linux",
        "machine": "x86_64",
        "cgroup": "v2",
        "memoryKi": "8000000",
        "disk": "50000000",
        "systemd": "yes",
        "swap": "0",
        "capabilities": "000001ffffffffff",
        "resolver": "/etc/resolv.conf",
        **changes.pop("facts", {}),
    }
    tools = {*table.required(node=True), "curl"}
    base: dict[str, Any] = {
        "at": NOW,
        "addresses": ("192.0.2.21",),
        "nameservers": ("192.0.2.53",),
        "tools": frozenset(tools),
        "modules": frozenset({"overlay", "br_netfilter"}),
    }
    return Survey(facts=facts, **{**base, **changes})
