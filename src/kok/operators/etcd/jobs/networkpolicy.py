"""The NetworkPolicy of Jobs that none holds for.

That of an EtcdCluster holds for all Jobs that move backups in its namespace. Backups outlive it, and
one that is paused or in trouble may never have had it.
"""

from __future__ import annotations

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.apply.serverside import ensure
from kok.kube.client import Kube
from kok.kube.objects import networkpolicy
from kok.kube.objects.ownership import owned, owner_labels, refers_to
from kok.operators.etcd import naming
from kok.runtime.policy import Policies


async def fence(kube: Kube, obj: EtcdBackup | EtcdRestore, policies: Policies) -> None:
    """Makes one for the Jobs of `obj` if need be; it goes with `obj`. Raises `KubeError`.

    For before a Job is made and for each look at it, since the EtcdCluster may go meanwhile.
    """
    if not policies.isolates():
        return
    kind, namespace = kinds.NETWORKPOLICY, obj.namespace
    theirs = await kube.get(kind, naming.workers_policy(obj.spec.etcd_cluster), namespace)
    if theirs is not None and _stays(theirs):
        return
    wanted = own_policy(obj, policies)
    await ensure(kube, wanted, await kube.get(kind, wanted["metadata"]["name"], namespace))


def _stays(policy: Manifest) -> bool:
    """Whether an EtcdCluster keeps it."""
    meta = policy["metadata"]
    owners = meta.get("ownerReferences") or ()
    kept = any(o.get("controller") and refers_to(o, EtcdCluster.info.kind) for o in owners)
    return kept and not meta.get("deletionTimestamp")


WORKERS = {naming.LABEL_NAME: naming.WORKER}
ALL = ("0.0.0.0/0", "::/0")


def own_policy(obj: EtcdBackup | EtcdRestore, policies: Policies) -> Manifest:
    """Of the Jobs of one backup or restore alone, which have no etcd cluster to go to."""
    made = networkpolicy.policy(
        naming.own_policy(obj.name, obj.metadata.uid),
        {**WORKERS, **owner_labels(obj)},
        ingress=[],
        egress=[networkpolicy.dns(policies.dns_servers), to_stores(policies)],
    )
    return owned(made, obj)


def to_stores(policies: Policies) -> Manifest | None:
    """The rule of `egress` that lets Jobs reach stores, wherever the administrator allows it."""
    return networkpolicy.going(networkpolicy.ranges(ALL, policies.forbidden_ranges))
