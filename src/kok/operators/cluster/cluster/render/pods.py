"""What the pods of all three components have in common: hardening, spread, probes, rollout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kok.api.meta import Manifest
from kok.api.names import LABEL_CLUSTER, LABEL_COMPONENT
from kok.kube.objects.drift import covers
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster, ResolvedComponent
from kok.operators.cluster.naming import LABEL_VERSION, pod_labels

USER = 65532
"""The `nonroot` user of distroless images; any other would do."""
ANNOTATION_RESTORED = "kok.dev/etcd-restored"
"""On pods: UID of the restore from which etcd's data comes; there only after one.

What pods have cached before is of another past: they would go on with objects that are not there.
"""
ANNOTATION_KEYS = "kok.dev/keys"
"""On pods: hash of the keys that the component reads only once, at its start."""
GOAWAY = "0.001"
"""Share of requests after which a client is asked to connect anew."""
RETRY = "1s"
"""How often leaders renew their Leases, and others try to become one: with the default of 2 s the next
leader may come as late as 6.4 s after the last one's renewal, with this after 3.2 s."""
READY_PERIOD = 3
STARTUP_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Container:
    """What differs between the components' containers."""

    command: Sequence[str]
    port: int
    live: str
    ready: str
    """Paths of the probes; the startup probe is that of readiness."""
    mounts: Mapping[str, str]
    """Paths by volume."""
    volumes: Sequence[Mapping[str, Any]]
    capabilities: Sequence[str] = ()
    grace: int = 30
    """Seconds that the container has for an orderly end."""
    sidecars: Sequence[Mapping[str, Any]] = ()
    """Containers that are there before it and after it."""


def deployment(
    resolved: ResolvedCluster,
    part: ResolvedComponent,
    version: str,
    container: Container,
    keys: str,
) -> Manifest:
    """The Deployment of one component at one version; `keys` is a hash, see ANNOTATION_KEYS."""
    labels = pod_labels(resolved.name, part.component)
    annotations = {**part.pod_annotations, ANNOTATION_KEYS: keys}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": part.deployment, "labels": {**labels, LABEL_VERSION: version}},
        "spec": {
            "replicas": part.replicas,
            "revisionHistoryLimit": 3,
            # A new pod is ready before an old one goes, also where there is only one.
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {
                    "labels": {**labels, LABEL_VERSION: version},
                    "annotations": dict(sorted(annotations.items())),
                },
                "spec": _pod(resolved, part, version, container),
            },
        },
    }


def with_annotations(deployment: Manifest, notes: Mapping[str, str | None]) -> Manifest:
    """The Deployment, restarted once whenever one of these annotations of its pods changes.

    One that is None is not there: without a reason to restart no pod template changes.
    """
    given = {key: value for key, value in notes.items() if value is not None}
    if not given:
        return deployment
    spec, template = deployment["spec"], deployment["spec"]["template"]
    meta = template["metadata"]
    with_notes = {**meta, "annotations": {**meta["annotations"], **given}}
    return {**deployment, "spec": {**spec, "template": {**template, "metadata": with_notes}}}


_NO_REASON = frozenset({f"--goaway-chance={GOAWAY}", f"--leader-elect-retry-period={RETRY}"})
"""Words of a command for whose sake nothing is restarted."""


def without_rollout(made: Manifest, live: Manifest | None) -> Manifest:
    """The Deployment without what is no reason to restart anything, if that alone would roll it.

    One that was made by an earlier release lacks these, or was made for a single pod; it gets them with
    the next change that restarts its pods anyway.
    """
    if live is None:
        return made
    template = made["spec"]["template"]
    pod = {k: v for k, v in template["spec"].items() if k != "topologySpreadConstraints"}
    container = pod["containers"][0]
    command = [word for word in container["command"] if word not in _NO_REASON]
    fewer = {**pod, "containers": [{**container, "command": command}]}
    candidates = (
        {**template["spec"], "containers": fewer["containers"]},
        {**fewer, "containers": pod["containers"]},
        fewer,
    )
    have = live["spec"]["template"]
    if covers(have, template):
        return made
    for spec in candidates:
        less = {**template, "spec": spec}
        if covers(have, less):
            return {**made, "spec": {**made["spec"], "template": less}}
    return made


def _pod(
    resolved: ResolvedCluster, part: ResolvedComponent, version: str, container: Container
) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": container.grace,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(resolved, part, version, container)],
        "volumes": list(container.volumes),
    }
    if container.sidecars:
        pod["initContainers"] = [dict(sidecar) for sidecar in container.sidecars]
    if pull_secrets := resolved.cluster.spec.images.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in pull_secrets]
    if part.node_selector:
        pod["nodeSelector"] = dict(part.node_selector)
    if part.tolerations:
        pod["tolerations"] = [dict(t) for t in part.tolerations]
    if spread := _spread(resolved, part):
        pod["topologySpreadConstraints"] = [spread]
    return pod


def _container(
    resolved: ResolvedCluster, part: ResolvedComponent, version: str, container: Container
) -> dict[str, Any]:
    return {
        "name": part.component,
        "image": resolved.image(part.component, version),
        "imagePullPolicy": "IfNotPresent",
        "command": list(container.command),
        "ports": [{"name": "https", "containerPort": container.port, "protocol": "TCP"}],
        "resources": dict(part.resources),
        "startupProbe": _probe(container.ready, period=1, failures=STARTUP_SECONDS, timeout=2),
        "readinessProbe": _probe(container.ready, period=READY_PERIOD, failures=2, timeout=5),
        "livenessProbe": _probe(container.live, period=10, failures=6, timeout=10),
        "securityContext": confined(container.capabilities),
        # What a component says before it exits ends up in the pod's status, and from there in
        # the Cluster's condition.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": name, "mountPath": path, "readOnly": True}
            for name, path in container.mounts.items()
        ],
    }


def confined(capabilities: Sequence[str] = ()) -> dict[str, Any]:
    """The securityContext of a container of ours."""
    kept = {"add": list(capabilities)} if capabilities else {}
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], **kept},
    }


def _probe(path: str, *, period: int, failures: int, timeout: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "https", "scheme": "HTTPS"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def _spread(resolved: ResolvedCluster, part: ResolvedComponent) -> dict[str, Any] | None:
    """Over meta nodes, each revision by itself, so that a rollout finds room with few nodes.

    Also of a single pod: another number of pods is to restart none.
    """
    if resolved.profile.spread == "none":
        return None
    required = resolved.profile.spread == "required"
    constraint: dict[str, Any] = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule" if required else "ScheduleAnyway",
        "labelSelector": {"matchLabels": pod_labels(resolved.name, part.component)},
        "matchLabelKeys": ["pod-template-hash"],
    }
    if required:
        # Without it a meta cluster of one node would count as spread.
        constraint["minDomains"] = 2
    return constraint


def budget(resolved: ResolvedCluster, part: ResolvedComponent) -> Manifest:
    """The PodDisruptionBudget of one component: one pod at a time, broken ones at any time."""
    labels = pod_labels(resolved.name, part.component)
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": part.deployment, "labels": labels},
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": labels},
        },
    }


def secret_files(name: str, files: Mapping[str, str]) -> dict[str, Any]:
    """A source of a projected volume: files by path, from the keys of a Secret."""
    return {
        "secret": {
            "name": name,
            "items": [{"key": key, "path": path} for path, key in sorted(files.items())],
        }
    }


def projected(name: str, *sources: Mapping[str, Any]) -> dict[str, Any]:
    """One volume of several Secrets: a single mount, and replaced as a whole by kubelet."""
    return {"name": name, "projected": {"defaultMode": 0o440, "sources": list(sources)}}


__all__ = [
    "ANNOTATION_KEYS",
    "ANNOTATION_RESTORED",
    "LABEL_CLUSTER",
    "LABEL_COMPONENT",
    "Container",
    "budget",
    "confined",
    "deployment",
    "projected",
    "secret_files",
    "with_annotations",
    "without_rollout",
]
