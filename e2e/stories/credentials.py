"""What people reported of what is theirs: a CA, kubeconfigs, how they log in, keys of a lost Cluster.

A Cluster with a node has a CA of its owner's; one of the same name in another namespace has not.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme
import yaml
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config

from e2e.fixtures import backups, business_cluster, etcd, userfiles
from e2e.fixtures.hosts import host_pool
from e2e.framework.environment import Environment
from e2e.framework.follow import condition, has
from e2e.lab.errors import CommandError
from e2e.lab.machine.commands import run
from e2e.stories import told
from kok.api import Cluster
from kok.api.meta import Kind, Manifest
from kok.api.names import cluster_ca_secret, etcd_cluster, machine
from kok.kube import kinds
from kok.operators.cluster.naming import kept_keys

OURS, THEIRS = "e2e-reports-owners", "e2e-reports-others"
SHOP, AGAIN = "shop", "again"
BUCKET = OURS
WORKER = "worker-1"
CLUSTER = Cluster.info.kind
LIMITS = Kind("", "v1", "LimitRange", "limitranges")
SOON, LONG = 120.0, 900.0
READERS, ROBOT = "readers", "robot"


async def tell(w: Environment) -> None:
    """All of them, one after the other; nothing is left."""
    await w.drop_namespace(THEIRS, within=LONG)
    try:
        async with etcd.bucket(w, BUCKET):
            await told(
                w,
                OURS,
                an_intermediate_ca,
                two_of_one_name,
                kok_logs_in_as_kubectl_does,
                a_cluster_without_its_keys,
                a_limit_range,
                what_was_brought_stays,
            )
    finally:
        await w.drop_namespace(THEIRS, within=LONG)


async def an_intermediate_ca(w: Environment) -> None:
    """with an intermediate CA of the user's own kubectl, Python, operators and a node work"""
    root = trustme.CA(organization_name="company", key_type=trustme.KeyType.ECDSA)
    signer = root.create_child_ca(key_type=trustme.KeyType.ECDSA)
    chain = b"".join((signer.cert_pem.bytes(), root.cert_pem.bytes()))
    await _kubectl_apply(
        w,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": cluster_ca_secret(SHOP), "namespace": OURS},
            "type": "kubernetes.io/tls",
            "stringData": {
                "tls.crt": chain.decode(),
                "tls.key": signer.private_key_pem.bytes().decode(),
            },
        },
    )
    _BROUGHT[OURS] = await _secret(w, OURS, cluster_ca_secret(SHOP))
    text = userfiles.first_cluster(w.lab, WORKER, namespace=OURS, cluster=SHOP)
    await w.apply(
        userfiles.ssh_secret(w.lab, WORKER, OURS),
        userfiles.checksums(w.lab, OURS),
        *userfiles.documents(text),
    )
    await w.until(CLUSTER, OURS, SHOP, _whole, LONG)
    node = machine(f"{SHOP}-workers", WORKER)
    await w.until(host_pool.MACHINE, OURS, node, has("Ready"), LONG)
    await _everybody_gets_on(w, root.cert_pem.bytes().decode().strip())
    await _untouched(w)


async def _everybody_gets_on(w: Environment, root: str) -> None:
    kubeconfig = await w.kubeconfig(OURS, SHOP)
    listed = await business_cluster.kubectl(w.lab, kubeconfig, "get", "nodes", "-o", "name")
    if listed.split() != [f"node/{WORKER}"]:
        raise AssertionError(f"kubectl finds {listed!r}")
    names = await asyncio.to_thread(_by_python, kubeconfig)
    if "kube-system" not in names:
        raise AssertionError(f"the Python client finds {names}")
    async with await w.business(OURS, SHOP) as inside:
        # Its log comes from the kubelet, whose certificate the API server judges.
        await business_cluster.dns_check(w.lab, inside, kubeconfig)
        trusted = await inside.get(kinds.CONFIGMAP, "kube-root-ca.crt", "default")
    if root not in (trusted or {}).get("data", {}).get("ca.crt", ""):
        raise AssertionError("pods are not told of the root, which some clients insist on")


def _by_python(kubeconfig: str) -> list[str]:
    """Namespaces as the usual Python client sees them."""
    api = kubernetes_config.new_client_from_config_dict(yaml.safe_load(kubeconfig))
    listed = kubernetes_client.CoreV1Api(api).list_namespace()
    return [str(one.metadata.name) for one in listed.items]


async def two_of_one_name(w: Environment) -> None:
    """kubeconfigs of two Clusters of one name work side by side in one KUBECONFIG"""
    await w.namespace(THEIRS)
    await w.apply(_cluster(SHOP))
    await w.until(CLUSTER, THEIRS, SHOP, _whole, LONG)
    seen: dict[str, str] = {}
    with _folder() as folder:
        ours = _file(folder, "ours", await w.kubeconfig(OURS, SHOP))
        theirs = _file(folder, "theirs", await w.kubeconfig(THEIRS, SHOP))
        for first, second in ((ours, theirs), (theirs, ours)):
            for namespace in (OURS, THEIRS):
                uid = await _kubectl(w, (first, second), namespace)
                if seen.setdefault(namespace, uid) != uid:
                    raise AssertionError(f"{namespace}/{SHOP} is another one in another order")
    if len(set(seen.values())) != len(seen):
        raise AssertionError("both contexts lead to the same cluster")


async def _kubectl(w: Environment, files: tuple[Path, ...], namespace: str) -> str:
    """UID of what is a cluster's own, by its context of merged kubeconfigs."""
    words = ("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    return await run(
        w.lab.program("kubectl"),
        f"--context={namespace}/{SHOP}",
        *words,
        env={"KUBECONFIG": os.pathsep.join(map(str, files))},
    )


async def kok_logs_in_as_kubectl_does(w: Environment) -> None:
    """kok takes several files, --context, --kubeconfig, --as and a login plug-in as kubectl does"""
    await w.apply(*_rights())
    meta = w.lab.kubeconfig
    config = yaml.safe_load(meta.read_text(encoding="utf-8"))
    context = str(config["current-context"])
    status = ("status", "-n", OURS)
    with _folder() as folder:
        ours = _file(folder, "ours", await w.kubeconfig(OURS, SHOP))
        both = f"{ours}{os.pathsep}{meta}"
        # The first file has the current context: that of a cluster without any of ours.
        await _kok_says("no objects of KOK found", both, *status)
        await _kok_says(SHOP, both, *status, "--context", context)
        await _kok_says(SHOP, str(ours), *status, "--kubeconfig", str(meta))
        found = await _kok(
            str(folder / "none"), "kubeconfig", SHOP, "-n", OURS, "--kubeconfig", meta
        )
        if found != await w.kubeconfig(OURS, SHOP):
            raise AssertionError("kok prints another kubeconfig than there is")
        await _kok_refused('User "reader" cannot list', str(meta), *status, "--as", "reader")
        role = ("--as", "reader", "--as-group", READERS)
        await _kok_says(SHOP, str(meta), *status, *role)
        plugged = _file(folder, "plugged", yaml.safe_dump(await _plugged(w, config, folder)))
        await _kok_says(SHOP, str(plugged), *status)
        secret = f"system:serviceaccount:{OURS}:{ROBOT}"
        await _kok_refused(secret, str(plugged), "kubeconfig", SHOP, "-n", OURS)


async def _plugged(w: Environment, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A kubeconfig of the meta cluster whose user logs in by a program."""
    token = (await w.lab.kubectl("create", "token", ROBOT, "-n", OURS)).strip()
    version = "client.authentication.k8s.io/v1"
    credential = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": token}}
    said = _file(folder, "credential.json", json.dumps(credential))
    plug = {
        "apiVersion": version,
        "interactiveMode": "Never",
        "command": "cat",
        "args": [str(said)],
    }
    (cluster,) = config["clusters"]
    context = {"cluster": cluster["name"], "user": ROBOT}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [{"name": ROBOT, "user": {"exec": plug}}],
        "contexts": [{"name": "plugged", "context": context}],
        "current-context": "plugged",
    }


def _rights() -> list[Manifest]:
    """Who may read what KOK's kinds say, and nothing else: a group, and a program."""
    group = "rbac.authorization.k8s.io"
    meta = {"name": READERS, "namespace": OURS}
    rule = {"apiGroups": ["kok.dev"], "resources": ["*"], "verbs": ["get", "list"]}
    subjects = [
        {"apiGroup": group, "kind": "Group", "name": READERS},
        {"kind": "ServiceAccount", "name": ROBOT, "namespace": OURS},
    ]
    role = {"apiGroup": group, "kind": "Role", "name": READERS}
    version = f"{group}/v1"
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": ROBOT, "namespace": OURS},
        },
        {"apiVersion": version, "kind": "Role", "metadata": meta, "rules": [rule]},
        {
            "apiVersion": version,
            "kind": "RoleBinding",
            "metadata": meta,
            "subjects": subjects,
            "roleRef": role,
        },
    ]


async def _kok(kubeconfig: str, *words: str | Path) -> str:
    """What the command prints that pip installed beside this Python."""
    kok = Path(sys.executable).with_name("kok")
    return await run(kok, *words, env={"KUBECONFIG": kubeconfig}, timeout=SOON)


async def _kok_says(wanted: str, kubeconfig: str, *words: str) -> None:
    said = await _kok(kubeconfig, *words)
    if wanted not in said:
        raise AssertionError(f"kok {' '.join(words)} says {said!r}, not {wanted!r}")


async def _kok_refused(wanted: str, kubeconfig: str, *words: str) -> None:
    try:
        said = await _kok(kubeconfig, *words)
    except CommandError as error:
        if wanted not in error.stderr or "Traceback" in error.stderr:
            raise AssertionError(f"expected {wanted!r} in {error.stderr}") from error
        return
    raise AssertionError(f"kok {' '.join(words)} was allowed and says {said!r}")


async def a_cluster_without_its_keys(w: Environment) -> None:
    """a Cluster restored without its keys names each one, and serves when they are brought"""
    async with await w.business(THEIRS, SHOP) as inside:
        await inside.apply(_note())
    store = await etcd.store(w, THEIRS, await w.lab.want_s3(), BUCKET)
    await backups.back_up(w, THEIRS, "kept", etcdCluster=etcd_cluster(SHOP), store=store)
    await backups.stored(w, THEIRS, "kept")
    await w.apply(_cluster(AGAIN, etcd={"restoreFrom": {"backup": "kept"}}))
    missing = [f"Secret {THEIRS}/{name} with " for name in kept_keys(AGAIN).values()]
    words = [*missing, "the backup holds no keys"]

    def asks(obj: Manifest) -> bool:
        said = condition(obj, "Ready").get("message", "")
        return has("Ready", "False", "KeysMissing")(obj) and all(word in said for word in words)

    await w.until(CLUSTER, THEIRS, AGAIN, asks, LONG)
    for called, name in kept_keys(AGAIN).items():
        old = await _secret(w, THEIRS, kept_keys(SHOP)[called])
        meta = {"name": name, "namespace": THEIRS}
        await _kubectl_apply(
            w, {**_only(old, "apiVersion", "kind", "type", "data"), "metadata": meta}
        )
    await w.until(CLUSTER, THEIRS, AGAIN, has("Ready"), LONG)
    async with await w.business(THEIRS, AGAIN) as inside:
        found = await inside.get(kinds.SECRET, "note", "default")
    if found is None or found["data"] != _only(_note(), "data")["data"]:
        raise AssertionError("what was written before and encrypted cannot be read")
    await w.kube.delete(CLUSTER, AGAIN, THEIRS)
    await w.gone(CLUSTER, THEIRS, AGAIN, LONG)


async def a_limit_range(w: Environment) -> None:
    """a LimitRange above what a control plane asks for is quoted, and its resources suit it"""
    least = {"limits": [{"type": "Container", "min": {"cpu": "150m"}}]}
    meta = {"name": "least", "namespace": OURS}
    await w.apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": meta, "spec": least})
    roll = {"podAnnotations": {"example.com/roll": "1"}}
    await w.kube.patch(CLUSTER, SHOP, OURS, {"spec": {"scheduler": roll}})
    words = ("minimum cpu usage per Container is 150m", "set spec.scheduler.resources")

    def quoted(obj: Manifest) -> bool:
        said = condition(obj, "Ready").get("message", "")
        refused = has("ControlPlaneReady", "False", "PodsRefused")(obj)
        return refused and all(word in said for word in words)

    await w.until(CLUSTER, OURS, SHOP, quoted, LONG)
    await asyncio.to_thread(_by_python, await w.kubeconfig(OURS, SHOP))
    enough = {"resources": {"requests": {"cpu": "150m"}}}
    await w.kube.patch(CLUSTER, SHOP, OURS, {"spec": {"scheduler": enough}})
    await w.until(CLUSTER, OURS, SHOP, _whole, LONG)
    await w.kube.delete(LIMITS, "least", OURS)


async def what_was_brought_stays(w: Environment) -> None:
    """a user's CA is as he wrote it, byte for byte, also when the Cluster is gone"""
    await _untouched(w)
    kubenode = f"{SHOP}-workers"
    await asyncio.gather(
        w.kube.delete(CLUSTER, SHOP, OURS), w.kube.delete(host_pool.KUBENODE, kubenode, OURS)
    )
    await w.gone(host_pool.KUBENODE, OURS, kubenode, LONG)
    await w.gone(CLUSTER, OURS, SHOP, LONG)
    await _untouched(w)
    await host_pool.bare(w, WORKER)


_BROUGHT: dict[str, Manifest] = {}
"""By namespace, the Secret of the CA as the API server had it from its owner."""


async def _untouched(w: Environment) -> None:
    found, brought = await _secret(w, OURS, cluster_ca_secret(SHOP)), _BROUGHT[OURS]
    if (found["data"], found["metadata"]) != (brought["data"], brought["metadata"]):
        raise AssertionError(f"the Secret of the user's CA has become {found['metadata']}")


async def _secret(w: Environment, namespace: str, name: str) -> Manifest:
    found = await w.kube.get(kinds.SECRET, name, namespace)
    if found is None:
        raise AssertionError(f"there is no Secret {namespace}/{name}")
    return found


async def _kubectl_apply(w: Environment, manifest: Manifest) -> None:
    """As a user brings what is his."""
    await w.lab.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))


def _whole(obj: Manifest) -> bool:
    types = ("Ready", "ControlPlaneReady", "AddonsReady")
    return all(has(one)(obj) for one in types) and has("Progressing", "False")(obj)


def _cluster(name: str, **spec: Any) -> Manifest:
    return {
        "apiVersion": CLUSTER.api_version,
        "kind": CLUSTER.kind,
        "metadata": {"name": name, "namespace": THEIRS},
        "spec": {"version": "1.37.1", "profile": "edge", **spec},
    }


def _note() -> Manifest:
    """What API servers keep encrypted."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "note", "namespace": "default"},
        "data": {"text": "d3JpdHRlbiBiZWZvcmU="},
    }


def _only(manifest: Manifest, *fields: str) -> Manifest:
    return {field: manifest[field] for field in fields}


@contextmanager
def _folder() -> Iterator[Path]:
    """For kubeconfigs and tokens, which never stay on a disk."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")
    return path
