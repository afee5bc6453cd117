"""A Cluster's children: what they are called, which outlive it, and what a pass keeps of them. Pure.

Also what it keeps of Addons that others made for the Cluster, which are no children of it.

Keys have no reference to their owner: those of retained data must not go with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from kok import addons, pki
from kok.api import names
from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Kind, Manifest, Resource
from kok.kube import kinds
from kok.kube.objects.children import children_of, few, reference_to, whole_of
from kok.operators.cluster import naming, reasons
from kok.operators.cluster.naming import (
    CA_KEY,
    EGRESS_CONFIG,
    ENCRYPTION_CONFIG,
    FRONT_PROXY_CA,
    KUBECONFIG,
    ROOTS,
    VALUE,
)
from kok.runtime.children.rules import ChildRules
from kok.runtime.children.takeover import is_child

ENTRIES: Final = frozenset(
    {
        *(pki.CA_CRT, pki.TLS_CRT, pki.TLS_KEY),
        *(naming.SA_KEY, naming.SA_PUB, naming.ENCRYPTION_KEY),
        *(CA_KEY, EGRESS_CONFIG, ENCRYPTION_CONFIG, FRONT_PROXY_CA, KUBECONFIG, ROOTS, VALUE),
    }
)
"""Entries of Secrets that are KOK's or are read by it."""


def is_key(manifest: Manifest, owner: Resource) -> bool:
    """Whether it is, by its name, one of the keys that nothing can replace."""
    secret = manifest["kind"] == kinds.SECRET.kind
    return secret and manifest["metadata"]["name"] in naming.key_secrets(owner.name)


RULES: Final = ChildRules(
    naming.FIELD_MANAGER,
    outlives=is_key,
    own_entries=naming.key_entries,
    entries=ENTRIES,
    creating=reasons.CREATING,
    stale=reasons.STALE_CHILD,
    taken=reasons.NAME_TAKEN,
)


def child_names(cluster: str) -> Mapping[Kind, frozenset[str]]:
    """Names of a Cluster's children, by their kind."""
    components = frozenset(naming.deployment(cluster, one) for one in naming.COMPONENTS)
    return {
        kinds.SECRET: naming.secrets(cluster),
        kinds.SERVICE: frozenset({names.api_service(cluster), naming.konnectivity(cluster)}),
        kinds.DEPLOYMENT: components,
        kinds.PDB: components,
        kinds.NETWORKPOLICY: components | {naming.probe_policy(cluster)},
        EtcdCluster.info.kind: frozenset({names.etcd_cluster(cluster)}),
        Addon.info.kind: frozenset(names.cluster_addon(cluster, one) for one in addons.NAMES),
    }


def keep_children(cluster: Cluster, kind: Kind) -> Callable[[Manifest], Manifest]:
    """For `keep` of a list of a Cluster's children of that kind."""
    return children_of(cluster, child_names(cluster.name)[kind], entries=ENTRIES)


def keep_whole(cluster: Cluster) -> Callable[[Manifest], Manifest]:
    """The same for one child that is wanted."""
    return partial(whole_of, cluster, entries=ENTRIES)


OTHERS: Final = 256
"""Addons of others that are looked at for one Cluster: anybody may make thousands of them."""
_SPEC: Final = ("cluster", "kubernetes", "upgrade", "paused")
_STATUS: Final = ("observedGeneration", "kubernetesVersion")
_TOLD: Final = frozenset({reasons.APPLIED, reasons.HEALTHY, reasons.READY})
_SENTENCE: Final = 1024
"""Characters of what a condition says that a finding has room for."""


def keep_others(cluster: Cluster) -> Callable[[Manifest], Manifest]:
    """For `keep` of a list of Addons: a gist of those for the Cluster that are none of its children.

    By what they say themselves: people label them as they like. Of others, and of more than one
    beyond `OTHERS`, an empty object.
    """

    def mine(live: Manifest) -> bool:
        named = (live.get("spec") or {}).get("cluster") == cluster.name
        going = bool(live["metadata"].get("deletionTimestamp"))
        return named and not going and not is_child(RULES, live, cluster)

    return few(_addon_gist, mine, OTHERS + 1)


def _addon_gist(live: Manifest) -> Manifest:
    """What an upgrade goes by: no values, templates, or objects."""
    spec, status = live.get("spec") or {}, live.get("status") or {}
    builtin = (spec.get("source") or {}).get("builtin")
    return {
        **reference_to(live),
        "spec": {
            **{key: spec[key] for key in _SPEC if key in spec},
            "source": {"builtin": builtin} if builtin is not None else {},
        },
        "status": {
            **{key: status[key] for key in _STATUS if key in status},
            "conditions": [_told(c) for c in status.get("conditions") or () if c["type"] in _TOLD],
        },
    }


def _told(condition: Mapping[str, Any]) -> Manifest:
    return {**condition, "message": str(condition.get("message") or "")[:_SENTENCE]}
