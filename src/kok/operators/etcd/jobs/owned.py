"""Which Jobs that move backups belong to whom, and what of their pods is looked at.

Anybody may make Jobs and pods with our labels: of those without a name of ours only a few are seen
at a time, and no more of them than it takes to judge and to remove them.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from kok.api.meta import Manifest, Resource
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.objects.children import LEAVING, SURPLUS, children_of, few, reference_to
from kok.kube.objects.ownership import owner_labels
from kok.kube.objects.pods import pod_gist
from kok.operators.etcd import naming
from kok.operators.etcd.jobs import outcome

_COUNTS = ("active", "succeeded", "failed", "terminating")
_POD = pod_gist((naming.LABEL_WORKER, outcome.JOB_OF_POD), (outcome.MAIN_CONTAINER,))


async def jobs_of(kube: Kube, owner: Resource, wanted: Container[str] = ()) -> list[Manifest]:
    """Jobs whose controller is this owner; those with a name in `wanted` as they are, of the others
    whose they are, what they do, and whether they ever had a pod.
    """
    keep = children_of(owner, wanted, gist=_job, most=LEAVING)
    found = await kube.list(kinds.JOB, owner.namespace, labels=owner_labels(owner), keep=keep)
    return [job for job in found if job]


async def pods_of(
    kube: Kube, owner: Resource, mine: Callable[[Manifest], bool], job: str | None = None
) -> list[Manifest]:
    """A few of the pods of an owner's Jobs, or of that one Job, that are `mine`."""
    labels = owner_labels(owner) | ({outcome.JOB_OF_POD: job} if job is not None else {})
    keep = few(_POD, mine, SURPLUS)
    found = await kube.list(kinds.POD, owner.namespace, labels=labels, keep=keep)
    return [pod for pod in found if pod]


def _job(live: Manifest) -> Manifest:
    status = live.get("status") or {}
    waiting = status.get("uncountedTerminatedPods") or {}
    counts = {key: status[key] for key in _COUNTS if key in status}
    uncounted = {"some": any(waiting.values())}
    gist = reference_to(live, (naming.LABEL_WORKER,))
    return {**gist, "status": {**counts, "uncountedTerminatedPods": uncounted}}
