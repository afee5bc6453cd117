"""A container that never ends beside everything that moves backups, as a service mesh puts it there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from e2e.framework.environment import Environment
from e2e.lab.images.catalog import BUSYBOX
from e2e.polling import eventually
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.errors import KubeError
from kok.operators.etcd import naming

NAME = "mesh"
_GROUP, _VERSION = "admissionregistration.k8s.io", "v1"
POLICY = Kind(
    _GROUP, _VERSION, "MutatingAdmissionPolicy", "mutatingadmissionpolicies", namespaced=False
)
BINDING = Kind(
    _GROUP,
    _VERSION,
    "MutatingAdmissionPolicyBinding",
    "mutatingadmissionpolicybindings",
    namespaced=False,
)
_BEFORE_OURS = (
    'JSONPatch{op: "add", path: "/spec/containers/0", value: Object.spec.containers{'
    f'name: "{NAME}", image: "{BUSYBOX}", command: ["sleep", "1000000"]}}}}'
)


@asynccontextmanager
async def beside_workers(w: Environment, namespace: str) -> AsyncIterator[None]:
    """Puts one into each worker's pod that is made in the namespace within the block."""
    name = f"{namespace}-{NAME}"
    await w.apply(_policy(name, namespace), _binding(name))
    try:
        # An admission policy holds some time after it was written.
        await eventually(lambda: _holds(w, namespace), 120.0, every=0.5)
        yield
    finally:
        await w.kube.delete(BINDING, name)
        await w.kube.delete(POLICY, name)


class Seen:
    """The pods of workers, as they were last seen while the container beside them ran."""

    def __init__(self) -> None:
        self.pods: dict[str, Manifest] = {}
        """By what they do: `backup`, `verify`, `remove`..."""

    def note(self, pod: Manifest) -> None:
        """Keeps what is to be looked at later."""
        purpose = (pod["metadata"].get("labels") or {}).get(naming.LABEL_WORKER)
        if purpose and _runs(pod):
            self.pods[purpose] = pod


@asynccontextmanager
async def seen(w: Environment, namespace: str) -> AsyncIterator[Seen]:
    """What becomes of workers' pods within the block."""
    found = Seen()

    async def follow() -> None:
        async with aclosing(w.kube.watch(kinds.POD, namespace)) as events:
            async for event in events:
                if event.type in {"ADDED", "MODIFIED"}:
                    found.note(event.object)

    task = asyncio.create_task(follow())
    try:
        yield found
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _runs(pod: Manifest) -> bool:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(s["name"] == NAME and "running" in (s.get("state") or {}) for s in statuses)


async def _holds(w: Environment, namespace: str) -> bool:
    probe = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "probe",
            "namespace": namespace,
            "labels": {naming.LABEL_WORKER: "probe"},
        },
        "spec": {"containers": [{"name": "probe", "image": BUSYBOX}]},
    }
    try:
        made = await w.kube.create(probe, dry_run=True)
    except KubeError as error:
        w.report.line(f"the policy does not hold yet: {error.message}")
        return False
    return len(made["spec"]["containers"]) > 1


def _policy(name: str, namespace: str) -> Manifest:
    made: dict[str, Any] = {
        "operations": ["CREATE"],
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["pods"],
    }
    return {
        "apiVersion": POLICY.api_version,
        "kind": POLICY.kind,
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "objectSelector": {
                    "matchExpressions": [{"key": naming.LABEL_WORKER, "operator": "Exists"}]
                },
                "resourceRules": [made],
            },
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [
                {"patchType": "JSONPatch", "jsonPatch": {"expression": f"[{_BEFORE_OURS}]"}}
            ],
        },
    }


def _binding(name: str) -> Manifest:
    return {
        "apiVersion": BINDING.api_version,
        "kind": BINDING.kind,
        "metadata": {"name": name},
        "spec": {"policyName": name},
    }
