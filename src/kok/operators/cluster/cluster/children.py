"""A Cluster's children: what they are called, which outlive it, and what a pass keeps of them. Pure.

Keys have no reference to their owner: those of retained data must not go with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from kok import addons, pki
from kok.api import names
from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Kind, Manifest, Resource
from kok.kube import kinds
from kok.kube.objects.children import children_of, whole_of
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
