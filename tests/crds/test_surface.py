"""What `kubectl` shows of the kinds: names, columns, the status and scale subresources."""

from __future__ import annotations

from typing import Any

import pytest
from tests.crds import asking, samples

from kok.api import KINDS
from kok.api.meta import GROUP, VERSION, Manifest
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.kube.http.paths import object_path

pytestmark = pytest.mark.usefixtures("kok_crds")

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
SINCE = "2026-01-01T00:00:00Z"
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "AllGood",
    "message": "",
    "lastTransitionTime": SINCE,
}
OUTDATED = {**READY, "type": "Outdated"}
VULNERABLE = {**READY, "type": "Vulnerable"}
BROKEN = {**READY, "status": "False", "reason": "SecretMissing"}

STATUS: dict[str, Manifest] = {
    "Addon": {
        "version": "1.14.7",
        "workloads": "2/2",
        "conditions": [READY],
        "rollout": {
            "revision": "ab12",
            "planOf": "cd34",
            "startedAt": SINCE,
            "wave": "rest",
            "summary": "12/40",
            "counts": {"total": 42, "failed": 1, "skipped": 2},
        },
    },
    "Cluster": {
        "version": "1.37.1",
        "endpoint": "https://192.0.2.10:31443",
        "nodeSummary": "1/1",
        "conditions": [READY, OUTDATED, VULNERABLE],
    },
    "Component": {"conditions": [READY]},
    "EtcdBackup": {
        "phase": "Complete",
        "sizeSummary": "4 MB",
        "revision": 17,
        "location": "s3://etcd-backups/team-a/shop-etcd/one.snapshot",
        "verification": {"request": "now", "result": "Passed", "at": SINCE},
        "conditions": [READY],
    },
    "EtcdCluster": {
        "version": "3.6.10",
        "desiredMembers": 3,
        "readyMembers": 2,
        "dbSize": "4 MB",
        "lastBackup": {"name": "one", "at": "2020-01-01T00:00:00Z", "size": 1},
        "leader": "shop-etcd-1",
        "conditions": [BROKEN],
    },
    "EtcdRestore": {
        "phase": "Complete",
        "source": {
            "store": {"volume": {"claim": "backups"}},
            "key": "one.snapshot",
            "sha256": samples.SHA256,
            "size": 1,
            "revision": 17,
            "etcdVersion": "3.6.10",
        },
        "conditions": [READY],
    },
    "FleetUpgrade": {
        "target": "latest patch level",
        "phase": "Upgrading",
        "wave": "rest",
        "summary": "12/40",
        "counts": {"total": 42, "failed": 1, "skipped": 2},
        "conditions": [BROKEN],
    },
    "Host": {"machine": "shop-workers-w1", "phase": "Claimed"},
    "KubeNode": {
        "readySummary": "0/1",
        "upToDateSummary": "1/1",
        "version": "1.37.1",
        "conditions": [BROKEN],
    },
    "Machine": {
        "runtime": "containerd 2.3.7",
        "kubelet": "1.37.1",
        "phase": "Ready",
        "conditions": [READY],
    },
}

ROWS: dict[str, dict[str, Any]] = {
    "Addon": {
        "Cluster": "shop",
        "Clusters": "12/40",
        "Wave": "rest",
        "Failed": 1,
        "Version": "1.14.7",
        "Workloads": "2/2",
        "Ready": "True",
        "Reason": "AllGood",
    },
    "Cluster": {
        "Version": "1.37.1",
        "Profile": "standard",
        "Ready": "True",
        "Reason": "AllGood",
        "Nodes": "1/1",
        "Vulnerable": "True",
        "Outdated": "True",
        "Endpoint": "https://192.0.2.10:31443",
    },
    "Component": {"Software": "tool", "Version": "1.0", "Ready": "True"},
    "EtcdBackup": {
        "Cluster": "shop-etcd",
        "Phase": "Complete",
        "Size": "4 MB",
        "Revision": 17,
        "Verified": "Passed",
        "Reason": "AllGood",
        "Location": "s3://etcd-backups/team-a/shop-etcd/one.snapshot",
    },
    "EtcdCluster": {
        "Version": "3.6.10",
        "Members": 3,
        "Healthy": 2,
        "DB": "4 MB",
        "Leader": "shop-etcd-1",
        "Ready": "False",
        "Reason": "SecretMissing",
    },
    "EtcdRestore": {
        "Cluster": "shop-etcd",
        "Backup": "one",
        "Phase": "Complete",
        "Revision": 17,
        "Reason": "AllGood",
    },
    "FleetUpgrade": {
        "Target": "latest patch level",
        "Phase": "Upgrading",
        "Wave": "rest",
        "Done": "12/40",
        "Failed": 1,
        "Skipped": 2,
        "Reason": "SecretMissing",
    },
    "Host": {"Address": "192.0.2.21", "Machine": "shop-workers-w1", "Phase": "Claimed"},
    "KubeNode": {
        "Cluster": "shop",
        "Ready": "0/1",
        "Up-To-Date": "1/1",
        "Version": "1.37.1",
        "Reason": "SecretMissing",
    },
    "Machine": {
        "Node": "w1",
        "Address": "192.0.2.21",
        "Runtime": "containerd 2.3.7",
        "Kubelet": "1.37.1",
        "Phase": "Ready",
        "Ready": "True",
        "Reason": "AllGood",
    },
}
"""What `kubectl get -o wide` shows of an object with that status, but for its name and age."""


async def _create(kube: Kube, namespace: str, kind: str, spec: Any = None) -> Manifest:
    manifest = samples.manifest(kind, samples.MINIMAL[kind] if spec is None else spec)
    made: Manifest = await kube.raw(
        "POST", object_path(asking.kind_named(kind), namespace), manifest
    )
    return made


def _path(made: Manifest, subresource: str | None = None) -> str:
    meta = made["metadata"]
    return object_path(
        asking.kind_named(made["kind"]), meta["namespace"], meta["name"], subresource
    )


async def _set_status(kube: Kube, made: Manifest, status: Manifest) -> Manifest:
    kind, meta = asking.kind_named(made["kind"]), made["metadata"]
    return await kube.patch(
        kind, meta["name"], meta["namespace"], {"status": status}, subresource="status"
    )


@pytest.mark.parametrize("kind", samples.MINIMAL)
async def test_get_shows_what_people_ask_first(kube: Kube, namespace: str, kind: str) -> None:
    made = await _create(kube, namespace, kind)
    await _set_status(kube, made, STATUS[kind])
    table = await kube.raw("GET", _path(made), headers=TABLE)
    titles = [column["name"] for column in table["columnDefinitions"]]
    (row,) = (dict(zip(titles, r["cells"], strict=True)) for r in table["rows"])
    assert row.pop("Name") == made["metadata"]["name"]
    assert row.pop("Age")
    assert ("Last Backup" in row) == bool(row.pop("Last Backup", None))
    assert row == ROWS[kind]


@pytest.mark.parametrize("kind", samples.MINIMAL)
async def test_a_status_is_written_apart_from_the_spec(
    kube: Kube, namespace: str, kind: str
) -> None:
    made = await _create(kube, namespace, kind)
    after = await _set_status(kube, made, {"phase": "Ready"})
    assert after["metadata"]["generation"] == made["metadata"]["generation"]
    sneaky = {**after, "status": {"phase": "Forged"}}
    assert (await kube.raw("PUT", _path(made), sneaky))["status"]["phase"] == "Ready"


async def test_two_writers_of_conditions_do_not_undo_each_other(kube: Kube, namespace: str) -> None:
    made = await _create(kube, namespace, "Cluster")
    for manager, condition in (("a", READY), ("b", {**READY, "type": "EtcdReady"})):
        manifest = {
            "apiVersion": made["apiVersion"],
            "kind": "Cluster",
            "status": {"conditions": [condition]},
        }
        after = await kube.raw(
            "PATCH",
            _path(made, "status"),
            manifest,
            query={"fieldManager": manager},
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
    assert [c["type"] for c in after["status"]["conditions"]] == ["Ready", "EtcdReady"]


async def test_kubectl_get_kok_finds_every_kind_and_each_has_a_short_name(kube: Kube) -> None:
    found = await kube.raw("GET", f"/apis/{GROUP}/{VERSION}")
    served = {r["kind"]: r for r in found["resources"] if "/" not in r["name"]}
    assert set(served) == {k.info.kind.kind for k in KINDS}
    assert all(r["categories"] == ["kok"] and r["namespaced"] for r in served.values())
    short = [name for r in served.values() for name in r["shortNames"]]
    assert len(short) == len(set(short)) == len(KINDS)


async def test_kubectl_scale_sets_the_replicas_of_a_pool(kube: Kube, namespace: str) -> None:
    made = await _create(
        kube, namespace, "KubeNode", {"cluster": "shop", "replicas": 1, "pool": {}}
    )
    selector = "kok.dev/kubenode=sample"
    await _set_status(kube, made, {"replicas": 1, "selector": selector})
    kind, meta = asking.kind_named("KubeNode"), made["metadata"]
    scale = await kube.patch(
        kind, meta["name"], namespace, {"spec": {"replicas": 4}}, subresource="scale"
    )
    assert scale["status"] == {"replicas": 1, "selector": selector}
    assert (await kube.raw("GET", _path(made)))["spec"]["replicas"] == 4


async def test_kubectl_scale_of_listed_hosts_says_what_to_do(kube: Kube, namespace: str) -> None:
    made = await _create(kube, namespace, "KubeNode")
    with pytest.raises(KubeError) as refused:
        await kube.patch(
            asking.kind_named("KubeNode"),
            made["metadata"]["name"],
            namespace,
            {"spec": {"replicas": 4}},
            subresource="scale",
        )
    assert refused.value.message.endswith("or list the hosts by name")


async def test_an_operation_is_stored_as_it_was_recorded_and_ends_without_a_trace(
    kube: Kube, namespace: str
) -> None:
    made = await _create(kube, namespace, "Cluster")
    operation = {"type": "Wake", "step": "StartEtcd", "since": SINCE, "reason": "because"}
    stored = await _set_status(kube, made, {"operation": operation})
    assert stored["status"]["operation"] == operation
    with pytest.raises(KubeError, match="operation"):
        await _set_status(kube, made, {"operation": {**operation, "since": "yesterday"}})
    ended = await _set_status(kube, made, {"operation": None})
    assert "operation" not in ended["status"]
