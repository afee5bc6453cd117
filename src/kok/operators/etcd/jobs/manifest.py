"""The Jobs that move backups: one pod each, tried once, with secrets only in files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kok.api.etcd.store import BackupWorker
from kok.api.fields import Resources
from kok.api.meta import Manifest, Resource
from kok.backup.model import Model
from kok.backup.spec import CLOSED_VARIABLE, SPEC_VARIABLE, Command
from kok.kube.objects.ownership import owned, owner_labels
from kok.kube.objects.quantity import parse_quantity
from kok.operators.etcd import naming
from kok.operators.etcd.jobs.outcome import MAIN_CONTAINER
from kok.operators.etcd.jobs.store import Mount
from kok.operators.etcd.pods import USER, short

NAME_LIMIT = 63
"""Pods carry the name of their Job as a label."""
KEEP = 24 * 3600
"""Seconds for which a Job that has ended is kept for people who want to read its log."""
GRACE = 60
"""Seconds that a Job gets beyond the worker's own deadline, to be scheduled and to report."""
SMALL = Resources(requests={"cpu": "50m", "memory": "64Mi"}, limits={"memory": "256Mi"})
OF_ETCD = Resources(requests={"cpu": "50m", "memory": "64Mi"})
"""Without a limit of memory: etcd keeps an index of all keys there."""


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
    worker: BackupWorker = field(default_factory=BackupWorker)
    """What the user wants of its pod."""
    closed: Sequence[str] = field(default_factory=tuple)
    """Address ranges that it must not connect to a store in."""

    @property
    def settings(self) -> str:
        """A hash of what the user wants of its pod."""
        return short(self.worker.model_dump_json())


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
    labels = {naming.LABEL_NAME: naming.WORKER, naming.LABEL_WORKER: work.purpose}
    theirs = work.worker
    main = pod["containers"][0]["name"]
    return owned(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": work.name,
                "labels": labels,
                "annotations": {naming.ANNOTATION_SETTINGS: work.settings},
            },
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": int(work.deadline) + GRACE,
                "ttlSecondsAfterFinished": KEEP,
                "template": {
                    "metadata": {
                        "labels": {**theirs.labels, **owner_labels(owner), **labels},
                        "annotations": {**theirs.annotations, MAIN_CONTAINER: main},
                    },
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
    closed = ",".join(work.closed)
    return {
        "name": command,
        "image": work.image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["etcd-worker", command],
        "env": [
            {"name": SPEC_VARIABLE, "value": spec.model_dump_json(by_alias=True)},
            *([{"name": CLOSED_VARIABLE, "value": closed}] if closed else []),
        ],
        "resources": resources(SMALL, work.worker.resources),
        **confined(mounts),
    }


def resources(ours: Resources, wanted: Resources | None) -> Manifest:
    """Of a container: `ours`, but for what the user `wanted`, whose limits bound our requests."""
    asked = wanted or Resources()
    limits = {**ours.limits, **asked.limits}
    requests = {
        name: _lesser(amount, limits.get(name)) if name not in asked.requests else amount
        for name, amount in {**ours.requests, **asked.requests}.items()
    }
    # And our limits make room for what is asked for.
    bounds = {
        name: _greater(amount, requests.get(name)) if name not in asked.limits else amount
        for name, amount in limits.items()
    }
    return _filled({"requests": requests, "limits": bounds})


def _lesser(amount: str, bound: str | None) -> str:
    return amount if bound is None or parse_quantity(amount) <= parse_quantity(bound) else bound


def _greater(amount: str, floor: str | None) -> str:
    return amount if floor is None or parse_quantity(amount) >= parse_quantity(floor) else floor


def _filled(parts: Mapping[str, Mapping[str, str]]) -> Manifest:
    return {name: dict(sorted(part.items())) for name, part in parts.items() if part}


def confined(mounts: Sequence[Mount]) -> Manifest:
    """What all containers of such pods have in common."""
    return {
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
