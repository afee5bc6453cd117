"""The children that are kinds of ours: the EtcdCluster and the built-in Addons."""

from __future__ import annotations

from typing import Any

from kok import versions
from kok.api import names
from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import DEFAULT_ADDONS, ClusterAddon
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.operators.cluster.cluster.spec.blueprint import Blueprint
from kok.operators.cluster.naming import kept_keys


def etcd_cluster(plan: Blueprint, live: Manifest | None, trusted: str | None = None) -> Manifest:
    """The EtcdCluster; `trusted` tells it with which of its CAs the API servers run.

    What the user left open and cannot be changed any more stays as it was made: the default
    version of etcd may differ for a later Kubernetes, and another profile has other members.
    """
    spec, made = plan.cluster.spec, (live or {}).get("spec") or {}
    default_version = str(versions.default_etcd(plan.version))
    body: dict[str, Any] = {
        "version": spec.etcd.version or made.get("version") or default_version,
        "members": spec.etcd.members or made.get("members") or plan.profile.members,
        "storage": {
            "size": spec.etcd.storage.size,
            "className": spec.etcd.storage.class_name,
        },
        "placement": {"requireSpread": plan.profile.spread == "required"},
        "resources": _resources(plan),
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
        body["backup"]["keys"]["secrets"] = {**theirs, **kept_keys(plan.name)}
    return {
        "apiVersion": EtcdCluster.info.kind.api_version,
        "kind": EtcdCluster.info.kind.kind,
        "metadata": {
            "name": names.etcd_cluster(plan.name),
            "labels": {names.LABEL_CLUSTER: plan.name},
            **({"annotations": {names.ANNOTATION_CA_TRUSTED: trusted}} if trusted else {}),
        },
        "spec": body,
    }


def _resources(plan: Blueprint) -> dict[str, Any]:
    wanted = plan.cluster.spec.etcd.resources
    if wanted is not None:
        return wanted.manifest()
    return {"requests": {"cpu": plan.profile.member_cpu, "memory": plan.profile.member_memory}}


def addons(plan: Blueprint) -> list[Manifest]:
    """The Addons of the default set, but for those that are switched off."""
    asked = {addon.name: addon for addon in plan.cluster.spec.addons}
    wanted = [asked.get(name) or ClusterAddon(name=name) for name in DEFAULT_ADDONS]
    return [_addon(plan, addon) for addon in wanted if addon.enabled]


def _addon(plan: Blueprint, addon: ClusterAddon) -> Manifest:
    return {
        "apiVersion": Addon.info.kind.api_version,
        "kind": Addon.info.kind.kind,
        "metadata": {
            "name": names.cluster_addon(plan.name, addon.name),
            "labels": {names.LABEL_CLUSTER: plan.name},
        },
        "spec": {
            "cluster": plan.name,
            "source": {"builtin": addon.name},
            "values": addon.values,
        },
    }
