"""A Cluster sleeps: the control plane stops first, then etcd; it wakes the other way round. Pure.

Nothing is recorded for that: what is to be done follows from `spec.hibernate`, from the pods that
are left, and from what the EtcdCluster says of itself.
"""

from __future__ import annotations

from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.decide import etcd_answers
from kok.operators.cluster.cluster.observe import ClusterView
from kok.operators.cluster.naming import COMPONENTS
from kok.runtime.conditions import Verdict

LOOK = 2.0
"""Seconds between two looks at pods that are to go: nobody tells of these."""


def is_down(cluster: Cluster, view: ClusterView) -> bool:
    """Whether no component may run: asleep, or awake again with etcd not there yet.

    An etcd that is away for any other reason stops nothing.
    """
    return cluster.spec.hibernate or (
        _etcd_sleeps(cluster, view)
        and not etcd_answers(view.etcd(cluster.name), secret=view.etcd_secret)
    )


def etcd_may_stop(cluster: Cluster, view: ClusterView) -> bool:
    """Whether nobody needs etcd any more; once it was told to stop, that holds."""
    if not cluster.spec.hibernate:
        return False
    live = view.etcd(cluster.name) or {}
    told = bool((live.get("spec") or {}).get("hibernate"))
    return told or not _left(cluster, view)


def stopping(cluster: Cluster, view: ClusterView) -> bool:
    """Whether pods are on their way out."""
    return cluster.spec.hibernate and bool(_left(cluster, view))


def versions(cluster: Cluster, view: ClusterView) -> dict[str, str]:
    """The components that there are, each at the version that it had: nothing is upgraded asleep."""
    found = ((component, view.running(cluster.name, component)) for component in COMPONENTS)
    return {component: state.version for component, state in found if state is not None}


def without_pods(deployment: Manifest) -> Manifest:
    """The Deployment, of which nothing runs for now."""
    return {**deployment, "spec": {**deployment["spec"], "replicas": 0}}


def told(cluster: Cluster, view: ClusterView) -> dict[str, Verdict]:
    """What conditions say in place of what would be said of a Cluster that is awake."""
    if not is_down(cluster, view):
        return {}
    left = _left(cluster, view)
    if not cluster.spec.hibernate:
        reason, text = reasons.WAKING, "etcd starts, then the control plane does"
    elif left:
        reason, text = reasons.HIBERNATING, f"the control plane stops: {', '.join(left)}; then etcd"
    elif not _etcd_is_asleep(cluster, view):
        reason, text = reasons.HIBERNATING, "the control plane is stopped; etcd stops"
    else:
        reason = reasons.HIBERNATED
        text = "spec.hibernate is true: neither the control plane nor etcd run; their data is kept"
    no = Verdict(False, reason, text)
    return {
        reasons.CONTROL_PLANE_READY: no,
        reasons.ENDPOINT_REACHABLE: no,
        reasons.PROGRESSING: Verdict(reason != reasons.HIBERNATED, reason, text),
        reasons.READY: no,
    }


def _etcd_sleeps(cluster: Cluster, view: ClusterView) -> bool:
    return bool(_etcd_status(cluster, view).get("hibernation"))


def _etcd_is_asleep(cluster: Cluster, view: ClusterView) -> bool:
    sleep = _etcd_status(cluster, view).get("hibernation") or {}
    return bool(sleep.get("step") == "Asleep")


def _etcd_status(cluster: Cluster, view: ClusterView) -> Manifest:
    return (view.etcd(cluster.name) or {}).get("status") or {}


def _left(cluster: Cluster, view: ClusterView) -> list[str]:
    """Names of pods that there still are, and Deployments that still want some."""
    wanting = [
        f"Deployment {component}"
        for component in COMPONENTS
        if (state := view.running(cluster.name, component)) is not None
        and (state.desired > 0 or not state.complete)
    ]
    return wanting or [f"Pod {pod['metadata']['name']}" for pod in view.pods]
