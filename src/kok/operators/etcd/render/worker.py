"""The Jobs that move backups: one pod each, tried once, with secrets only in files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from kok.api.meta import Manifest, Resource
from kok.kube.ownership import owned, owner_labels
from kok.operators.etcd import layout
from kok.operators.etcd.backups.store import Mount
from kok.operators.etcd.render.statefulset import USER
from kok.operators.etcd.worker.model import Model
from kok.operators.etcd.worker.spec import SPEC_VARIABLE, Command

NAME_LIMIT = 63
"""Pods carry the name of their Job as a label."""
KEEP = 24 * 3600
"""Seconds for which a Job that has ended is kept for people who want to read its log."""
GRACE = 60
"""Seconds that a Job gets beyond the worker's own deadline, to be scheduled and to report."""
SMALL = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}


@dataclass(frozen=True, slots=True)
class Work:
    """One Job: which worker, for whom, and what it is called."""

    name: str
    purpose: str
    """For the label by which Jobs are counted: `backup`, `verify`, `remove`..."""
    image: str
    deadline: float
    """Seconds that the work itself may take."""
    pull_secrets: Sequence[str] = field(default_factory=tuple)


def job_name(name: str, purpose: str, attempt: int) -> str:
    """The name of one attempt's Job: readable, and unique also where it has to be cut."""
    suffix = f"-{purpose}-{attempt}"
    room = NAME_LIMIT - len(suffix)
    if len(name) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[: room - 9].rstrip('-.')}-{digest}"
    return f"{name}{suffix}"


def job(owner: Resource, work: Work, pod: Manifest) -> Manifest:
    """A Job that runs `pod` once. Trying again is the operator's decision, with its own back-off."""
    labels = {layout.LABEL_NAME: layout.WORKER, layout.LABEL_WORKER: work.purpose}
    return owned(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": work.name, "labels": labels},
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": int(work.deadline) + GRACE,
                "ttlSecondsAfterFinished": KEEP,
                "template": {
                    "metadata": {"labels": {**owner_labels(owner), **labels}},
                    "spec": pod,
                },
            },
        },
        owner,
    )


def worker_pod(work: Work, command: Command, spec: Model, mounts: Sequence[Mount]) -> Manifest:
    """A pod with nothing but one worker in it."""
    return pod(work, [worker_container(work, command, spec, mounts)], mounts)


def pod(
    work: Work,
    containers: Sequence[Manifest],
    mounts: Sequence[Mount],
    first: Sequence[Manifest] = (),
) -> Manifest:
    """A pod that may do nothing in the meta cluster; `first` are its init containers."""
    out: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 30,
        "containers": list(containers),
        "volumes": [{"name": mount.name, **mount.source} for mount in mounts],
    }
    if first:
        out["initContainers"] = list(first)
    if work.pull_secrets:
        out["imagePullSecrets"] = [{"name": name} for name in work.pull_secrets]
    return out


def worker_container(
    work: Work, command: Command, spec: Model, mounts: Sequence[Mount]
) -> Manifest:
    """One worker; its outcome is its termination message."""
    return {
        "name": command,
        "image": work.image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["etcd-worker", command],
        "env": [{"name": SPEC_VARIABLE, "value": spec.model_dump_json(by_alias=True)}],
        **confined(mounts),
    }


def confined(mounts: Sequence[Mount]) -> Manifest:
    """What all containers of such pods have in common."""
    return {
        "resources": SMALL,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": mount.name, "mountPath": str(mount.path)}
            | ({"readOnly": True} if mount.read_only else {})
            for mount in mounts
        ],
    }
