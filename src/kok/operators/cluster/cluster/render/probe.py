"""Pods that try before an upgrade what its pods will meet: quotas, policies, room, images. Pure.

Each is a copy of a pod of the new version as far as these go, but does nothing other than say its
version. No Service, Deployment or PodDisruptionBudget selects it, and it needs no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kok.api.meta import Manifest
from kok.kube.apply.serverside import intent_hash
from kok.kube.objects import networkpolicy
from kok.operators.cluster import naming
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster

LIVES = 300
"""Seconds that a probe may take, the pulling of its image included."""
PULLS_MOST = 4
"""Pods that do no more than bring the API server's image to further nodes."""
SMALL: Final = {"cpu": "10m", "memory": "32Mi"}
"""What these ask for: an upgrade makes one pod more at a time, and not one more on each node."""
_UNUSED = frozenset({"volumes", "containers", "initContainers", "topologySpreadConstraints"})
_KEPT = ("image", "imagePullPolicy", "name", "resources", "securityContext")


def probes(
    resolved: ResolvedCluster, version: str, deployments: Sequence[Manifest]
) -> list[Manifest]:
    """The probes of a version, without owner, made of the Deployments that would be rolled out.

    The first of each component asks for as much as a pod of it would: there has to be room for one
    more. Of the API server there are as many as it has pods, so that its image is on as many nodes.
    """
    made: list[Manifest] = []
    for component, deployment in zip(naming.COMPONENTS, deployments, strict=True):
        made.append(_probe(resolved, component, version, deployment, 0))
    server = deployments[0]
    more = min(resolved.parts[naming.API_SERVER].replicas - 1, PULLS_MOST)
    made += [
        _probe(resolved, naming.API_SERVER, version, server, number)
        for number in range(1, more + 1)
    ]
    return made


def policy(resolved: ResolvedCluster) -> Manifest:
    """Nothing goes in or out: the registry that an image comes from may be of a tenant's choice."""
    selected = naming.probe_labels(resolved.name)
    return networkpolicy.policy(naming.probe_policy(resolved.name), selected, ingress=[], egress=[])


def _probe(
    resolved: ResolvedCluster, component: str, version: str, deployment: Manifest, number: int
) -> Manifest:
    part = resolved.parts[component]
    template = deployment["spec"]["template"]["spec"]
    [container] = template["containers"]
    pod: dict[str, Any] = {key: value for key, value in template.items() if key not in _UNUSED}
    pod |= {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": LIVES,
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                **{key: container[key] for key in _KEPT if key in container},
                "command": [component, "--version"],
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
    }
    # All of one component count together, as the pods of its next revision will.
    labels = {**naming.probe_labels(resolved.name), naming.LABEL_PROBED: component}
    if spread := template.get("topologySpreadConstraints"):
        pod["topologySpreadConstraints"] = [
            {
                **{key: value for key, value in one.items() if key != "matchLabelKeys"},
                "labelSelector": {"matchLabels": labels},
            }
            for one in spread
        ]
    if number:
        pod["containers"][0]["resources"] = _small(container["resources"])
        pod["affinity"] = _beside(naming.pod_labels(resolved.name, component))
    made: Manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "labels": {**labels, naming.LABEL_VERSION: version},
            "annotations": dict(part.pod_annotations),
        },
        "spec": pod,
    }
    # Another one for whatever differs: what one has tried holds for no other.
    made["metadata"]["name"] = f"{part.deployment}-probe-{number}-{intent_hash(made)[:10]}"
    return made


def _small(resources: dict[str, Any]) -> dict[str, Any]:
    return {**resources, "requests": {**resources.get("requests", {}), **SMALL}}


def _beside(labels: dict[str, str]) -> dict[str, Any]:
    """Rather on nodes that run one now: these are where the next ones will find their room."""
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": labels},
    }
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
