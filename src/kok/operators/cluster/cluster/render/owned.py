"""The children that are kinds of ours: the EtcdCluster and the built-in Addons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kok.addons import NAMES, TUNNEL_AGENT
from kok.api import names
from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import ClusterAddon
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster
from kok.operators.cluster.cluster.spec.target import etcd_wanted
from kok.operators.cluster.naming import kept_keys


def etcd_cluster(
    resolved: ResolvedCluster,
    live: Manifest | None,
    trusted: str | None = None,
    *,
    version: str | None = None,
) -> Manifest:
    """The EtcdCluster; `trusted` tells it with which of its CAs the API servers run.

    `version` is the one that it is to have now, by default what belongs to the Cluster's.

    What the user left open and cannot be changed any more stays as it was made: another profile has
    other members.
    """
    spec, made = resolved.cluster.spec, (live or {}).get("spec") or {}
    body: dict[str, Any] = {
        "version": version
        or spec.etcd.version
        or made.get("version")
        or etcd_wanted(resolved.cluster, None, resolved.version),
        "members": spec.etcd.members or made.get("members") or resolved.profile.members,
        "storage": {
            "size": spec.etcd.storage.size,
            "className": spec.etcd.storage.class_name,
        },
        "placement": {"requireSpread": resolved.profile.spread == "required"},
        "resources": _resources(resolved),
        "tls": {
            "leafDuration": spec.certificates.leaf_duration,
            "renewBefore": spec.certificates.renew_before,
        },
        "images": spec.images.manifest(),
        "deletionPolicy": spec.deletion_policy,
    }
    # What the user did not write is left to the EtcdCluster's own defaults.
    passed_on = {
        "maintenance": spec.etcd.maintenance,
        "recovery": spec.etcd.recovery,
        "tuning": spec.etcd.tuning,
        "backup": spec.etcd.backup,
        "restoreFrom": spec.etcd.restore_from,
    }
    body |= {field: given.manifest() for field, given in passed_on.items() if given is not None}
    if spec.etcd.backup is not None and spec.etcd.backup.keys is not None:
        theirs = body["backup"]["keys"].get("secrets") or {}
        body["backup"]["keys"]["secrets"] = {**theirs, **kept_keys(resolved.name)}
    return {
        "apiVersion": EtcdCluster.info.kind.api_version,
        "kind": EtcdCluster.info.kind.kind,
        "metadata": {
            "name": names.etcd_cluster(resolved.name),
            "labels": {names.LABEL_CLUSTER: resolved.name},
            **({"annotations": {names.ANNOTATION_CA_TRUSTED: trusted}} if trusted else {}),
        },
        "spec": body,
    }


def _resources(resolved: ResolvedCluster) -> dict[str, Any]:
    wanted = resolved.cluster.spec.etcd.resources
    if wanted is not None:
        return wanted.manifest()
    return {
        "requests": {"cpu": resolved.profile.member_cpu, "memory": resolved.profile.member_memory}
    }


def addons(resolved: ResolvedCluster, tunnel: Mapping[str, Any] | None = None) -> list[Manifest]:
    """The Addons of the default set and those that the spec adds, but for those it switches off.

    `tunnel` tells agents of a tunnel where its servers are; their Addon comes only with it.
    """
    spec = resolved.cluster.spec
    wanted = spec.wanted_addons()
    off = any(one.name == TUNNEL_AGENT and not one.enabled for one in spec.addons)
    agent = wanted.pop(TUNNEL_AGENT, ClusterAddon(name=TUNNEL_AGENT))
    if tunnel is not None and not off:
        values = {**agent.values, "server": dict(tunnel)}
        wanted[TUNNEL_AGENT] = agent.model_copy(update={"values": values})
    return [_addon(resolved, wanted[one]) for one in NAMES if one in wanted]


def _addon(resolved: ResolvedCluster, addon: ClusterAddon) -> Manifest:
    return {
        "apiVersion": Addon.info.kind.api_version,
        "kind": Addon.info.kind.kind,
        "metadata": {
            "name": names.cluster_addon(resolved.name, addon.name),
            "labels": {names.LABEL_CLUSTER: resolved.name},
        },
        "spec": {
            "cluster": resolved.name,
            "source": {"builtin": addon.name},
            "values": addon.values,
        },
    }
