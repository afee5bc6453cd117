"""What tests of `kok addons` have in common."""

from __future__ import annotations

from typing import Any

from tests.unit.cli.things import PATH
from tests.unit.fakeapi import FakeApi

HERE = PATH.format("ns")
ADDONS = "/apis/kok.dev/v1alpha1/namespaces/ns/addons"
MACHINES = "/apis/kok.dev/v1alpha1/namespaces/ns/machines"
GIT = {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}
INLINE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: '{{ values.a }}'}\n"


def put(api: FakeApi, *addons: dict[str, Any], **parts: Any) -> dict[str, Any]:
    meta = {"namespace": "ns", "creationTimestamp": "2026-01-01T22:00:00Z"}
    status = {
        "version": "1.37.1",
        "endpoint": "https://192.0.2.1:6443",
        "nodes": {"ready": 0, "total": parts.get("nodes", 0)},
    }
    made = {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {**meta, **parts.get("metadata", {})},
        "spec": {"version": "1.37.1", "addons": list(addons), **parts.get("spec", {})},
        "status": status,
    }
    return api.put(HERE, made)


def addon(name: str, reason: str = "AsWanted", message: str = "fine", **parts: Any) -> Any:
    """An Addon; one that comes with the Cluster unless it has another source."""
    told = "True" if reason in {"AsWanted", "WaitingForNodes"} else "False"
    ready = {"type": "Ready", "status": told, "reason": reason, "message": message}
    ready |= {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    spec = {"cluster": "demo", "source": {"builtin": name.removeprefix("demo-")}}
    status = {"observedGeneration": 1, "version": "v1", "workloads": "1/1", "objects": 4}
    status |= {"conditions": [ready], **parts.pop("status", {})}
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Addon",
        "metadata": {"name": name, "namespace": "ns", **parts.pop("metadata", {})},
        "spec": {**spec, **parts},
        "status": status,
    }


def gpu(api: FakeApi) -> None:
    spec = {"cluster": "demo", "node": "w1", "address": "192.0.2.21"}
    machine = {"apiVersion": "kok.dev/v1alpha1", "kind": "Machine", "spec": spec}
    meta = {"namespace": "ns", "name": "w1"}
    status = {"facts": {"gpu": {"count": 2}}}
    api.put(f"{MACHINES}/w1", {**machine, "metadata": meta, "status": status})


def written(api: FakeApi) -> Any:
    return api.objects[HERE]["spec"].get("addons")
