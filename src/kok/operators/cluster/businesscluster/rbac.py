"""What operators may do inside a business cluster: RBAC objects, and how they are put in place.

Each operator has a user and a group of its own there, whose rights somebody can look at, narrow
for a while, and see in the audit log. The bindings come back: without them nothing else could be
kept in place. Who writes them is the one identity that needs no binding; it is made for the moment
from the CA's key, lives for minutes and only in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from kok import pki
from kok.api import names
from kok.api.meta import Manifest
from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.kube.errors import InvalidObject
from kok.kube.http.access import Access
from kok.kube.objects.drift import covers
from kok.operators.cluster.businesscluster.apply import Refused, apply_all
from kok.workload.identity import Identity

RBAC = "rbac.authorization.k8s.io"
LABEL = "kok.dev/rights"
"""On the ClusterRoleBindings of operators, which are watched by it."""
ROOT, MASTERS = "kok:bootstrap", "system:masters"
ROOT_LIFE = timedelta(minutes=5)
CLUSTER, MACHINE = names.OPERATORS
TOKENS = "kok:machine-operator:bootstrap-tokens"


def objects() -> list[Manifest]:
    """The rights of both operators."""
    machine = names.operator_user(MACHINE)
    return [
        # Addons are whatever somebody writes, and nobody can grant what he does not have.
        _cluster_binding(CLUSTER, "cluster-admin"),
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": machine},
            "rules": _machine_rules(),
        },
        _cluster_binding(MACHINE, machine),
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "Role",
            "metadata": {"name": TOKENS, "namespace": "kube-system"},
            "rules": [_rule("", ["secrets"], "get", "create", "delete")],
        },
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": TOKENS, "namespace": "kube-system"},
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": TOKENS},
            "subjects": [_group(MACHINE)],
        },
    ]


def _machine_rules() -> list[dict[str, Any]]:
    certificates = "certificates.k8s.io"
    signers = ["kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"]
    return [
        _rule("", ["nodes"], "get", "list", "watch", "create", "patch", "delete"),
        # A drain evicts, and in the end deletes; by their number it is chosen which node leaves.
        _rule("", ["pods"], "list", "delete"),
        _rule("", ["pods/eviction"], "create"),
        _rule(certificates, ["certificatesigningrequests"], "list", "watch"),
        _rule(certificates, ["certificatesigningrequests/approval"], "patch"),
        {**_rule(certificates, ["signers"], "approve"), "resourceNames": signers},
    ]


def differs(binding: Manifest) -> bool:
    """Whether a watched ClusterRoleBinding is not what it should be."""
    wanted = BINDINGS.get(str(binding["metadata"]["name"]))
    return wanted is not None and not covers(binding, wanted)


def root_access(ca: pki.CertificateAuthority, server: str, now: datetime) -> Access:
    """The identity that needs no binding, for one use. Raises `PkiError`, `AccessError`."""
    spec = pki.LeafSpec(ROOT, organizations=(MASTERS,), lifetime=ROOT_LIFE)
    return Identity(ca.cert_pem, pki.issue(ca, spec, now)).at(server)


async def grant(
    access: Access, *, field_manager: str, timeout: float, closed: Sequence[str] = ()
) -> list[Refused]:
    """Puts the rights in place as `root_access`; what was refused. Raises `Unreachable`.

    `closed`: address ranges into which the way there must not lead.
    """
    async with Kube(
        access,
        field_manager=field_manager,
        timeout=timeout,
        connections=len(objects()),
        limits=TENANT,
        closed=closed,
    ) as kube:
        refused = await apply_all(kube, objects())
        redirected = [one.intent for one in refused if _elsewhere(one)]
        for binding in redirected:
            meta = binding["metadata"]
            await kube.delete(await kube.resolve(binding), meta["name"], meta.get("namespace"))
        refused = [one for one in refused if not _elsewhere(one)]
        return [*refused, *await apply_all(kube, redirected, fresh=True)]


def _elsewhere(refused: Refused) -> bool:
    """Whether a binding leads to another role, which Kubernetes lets nobody change."""
    return "roleRef" in refused.intent and isinstance(refused.error, InvalidObject)


def _cluster_binding(operator: str, role: str) -> Manifest:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": names.operator_group(operator), "labels": {LABEL: operator}},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [_group(operator)],
    }


def _group(operator: str) -> dict[str, str]:
    return {"apiGroup": RBAC, "kind": "Group", "name": names.operator_group(operator)}


def _rule(group: str, resources: list[str], *verbs: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}


BINDINGS: Mapping[str, Manifest] = {
    m["metadata"]["name"]: m for m in objects() if m["kind"] == "ClusterRoleBinding"
}
