"""The files that a user would write, filled in with the lab's addresses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template

import yaml

from e2e.lab import Lab
from kok.api.meta import Manifest

FOLDER = Path(__file__).parent / "manifests"
CHECKSUMS = "artifact-sums"
SSH_SECRET = "ops-ssh"  # noqa: S105 - the name of a Secret

LAB_KUBELET: Mapping[str, object] = {
    # The lab's hosts are containers on a machine with control groups v1 and a shared disk.
    "failCgroupV1": False,
    "cgroupDriver": "cgroupfs",
    "imageGCHighThresholdPercent": 100,
    "evictionHard": {
        "memory.available": "100Mi",
        "nodefs.available": "1Gi",
        "imagefs.available": "1Gi",
    },
}


def fill(name: str, **values: str) -> str:
    """The text of one of the files in `manifests/`; raises `KeyError` for a missing value."""
    return Template((FOLDER / name).read_text(encoding="utf-8")).substitute(values)


def first_cluster(
    lab: Lab, worker: str, *, namespace: str, cluster: str = "shop", version: str = "1.37.1"
) -> str:
    """The file of a user's first cluster: one Cluster, one KubeNode with one host."""
    ssh = lab.ssh(worker)
    return fill(
        "first-cluster.yaml",
        cluster=cluster,
        namespace=namespace,
        version=version,
        node=worker,
        address=ssh.address,
        host_key=ssh.fingerprint,
        user=ssh.user,
        artifacts=lab.artifacts_url,
        checksums=CHECKSUMS,
        mirror=lab.mirror,
        kubelet=json.dumps(LAB_KUBELET),
    )


def documents(text: str) -> list[Manifest]:
    """The objects of a file."""
    return [d for d in yaml.safe_load_all(text) if d]


def ssh_secret(lab: Lab, worker: str, namespace: str, *, password: str | None = None) -> Manifest:
    """The Secret by which KOK logs in to the lab's hosts: its key, or a password if given."""
    data = (
        {"ssh-privatekey": lab.ssh(worker).key.read_text(encoding="utf-8")}
        if password is None
        else {"password": password}
    )
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SSH_SECRET, "namespace": namespace},
        "stringData": data,
    }


def checksums(lab: Lab, namespace: str) -> Manifest:
    """The ConfigMap with the sums of what the lab serves by plain HTTP: `artifacts.checksums`."""
    lines = sorted(f"{a.sha256}  {a.path}\n" for a in lab.artifacts)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CHECKSUMS, "namespace": namespace},
        "data": {"SHA256SUMS": "".join(lines)},
    }
