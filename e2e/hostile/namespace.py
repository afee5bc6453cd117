"""A tenant of the meta cluster writes in his namespace what leads operators astray."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from e2e.fixtures import clusters, etcd, userfiles
from e2e.framework.environment import Environment
from e2e.framework.follow import condition, has, is_not, until
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.framework.processes import deployments
from e2e.hostile import (
    CLUSTER,
    LONG,
    MACHINE,
    METADATA,
    NAMESPACE,
    SHOP,
    TOYS,
    VICTIM,
    WORKER,
    attacks,
)
from kok.api import Component, KubeNode, Machine, names
from kok.api.meta import Kind, Manifest
from kok.kube import kinds

LURED = "lured"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path


async def own_server(w: Environment) -> None:
    """Kubeconfigs that lead to the tenant's server, with the operator's own token to be shown."""
    async with (
        await w.business(NAMESPACE, SHOP) as kube,
        attacks.trap(str(w.lab.state.machine)) as trap,
    ):
        with w.report.step("kubeconfigs that ask for an operator's token get none"):
            await w.kube.patch(CLUSTER, SHOP, NAMESPACE, {"spec": {"paused": True}})
            await w.until(CLUSTER, NAMESPACE, SHOP, has("Paused"), LONG)
            text = json.dumps(_kubeconfig(trap.url))
            data = {"kubeconfig": base64.b64encode(text.encode()).decode()}
            for secret in (
                names.admin_kubeconfig_secret(SHOP),
                names.internal_kubeconfig_secret(SHOP),
            ):
                await w.kube.patch(kinds.SECRET, secret, NAMESPACE, {"data": data})
            # New processes know nothing of the business cluster but what they read now.
            await _new_operators(w)
            # What the machine operator has to do inside the business cluster shows that it gets there.
            labels = {"spec": {"labels": {"e2e": "hostile"}}}
            await w.kube.patch(KubeNode.info.kind, f"{SHOP}-workers", NAMESPACE, labels)
            await until(kube, kinds.NODE, WORKER, "", _labelled, within=LONG)
            await w.kube.patch(CLUSTER, SHOP, NAMESPACE, {"spec": {"paused": False}})
            await w.until(CLUSTER, NAMESPACE, SHOP, has("Ready"), LONG)
            await w.until(
                kinds.SECRET,
                NAMESPACE,
                names.admin_kubeconfig_secret(SHOP),
                lambda m: m["data"]["kubeconfig"] != data["kubeconfig"],
                LONG,
            )
        if trap.credentials or trap.requests:
            raise AssertionError(f"operators asked the tenant's server: {trap.requests}")


def _labelled(node: Manifest) -> bool:
    return (node["metadata"].get("labels") or {}).get("e2e") == "hostile"


def _kubeconfig(server: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": server}}],
        "users": [{"name": "x", "user": {"tokenFile": TOKEN}}],
    }


async def _new_operators(w: Environment) -> None:
    names_ = [f"deployment/{name}" for name in await deployments(w)]
    await w.lab.kubectl("rollout", "restart", "-n", OPERATORS, *names_)
    for name in names_:
        status = ("rollout", "status", name, "-n", OPERATORS, "--timeout=600s")
        await w.lab.kubectl(*status, timeout=620)


async def endless_template(w: Environment) -> None:
    """A template of 60,000 characters that no parser likes stops no operator."""
    bad = "{{ " + "(" * 30_000 + "x" * 30_000
    component = {
        "apiVersion": Component.info.kind.api_version,
        "kind": Component.info.kind.kind,
        "metadata": {"name": "bad-1", "namespace": NAMESPACE},
        "spec": {"name": "bad", "version": "1", "scripts": {"probe": bad}},
    }
    with w.report.step("an endless template stops nobody", "template_s"):
        await w.apply(component)
        await w.until(Component.info.kind, NAMESPACE, "bad-1", has("Ready", "False"), LONG)
        policy = f"{TOYS}-scheduler"
        before = await w.kube.get(kinds.PDB, policy, VICTIM)
        if before is None:
            raise AssertionError(f"there is no PodDisruptionBudget {policy}")
        await w.kube.delete(kinds.PDB, policy, VICTIM)
        await w.until(kinds.PDB, VICTIM, policy, is_not(before["metadata"]["uid"]), LONG)


async def another_tenants_host(w: Environment) -> None:
    """A Machine with somebody's address and no credentials disturbs nobody, and learns nothing."""
    ssh = w.lab.ssh(WORKER)
    squatter = {
        "apiVersion": Machine.info.kind.api_version,
        "kind": Machine.info.kind.kind,
        "metadata": {"name": "squatter", "namespace": VICTIM},
        "spec": {
            "cluster": TOYS,
            "node": "squatter",
            "address": ssh.address,
            "ssh": {"user": "root", "secret": userfiles.SSH_SECRET},
        },
    }
    with w.report.step("another tenant's host is not to be had"):
        await w.apply(squatter)
        said = await w.until(Machine.info.kind, VICTIM, "squatter", has("Ready", "False"), LONG)
        text = json.dumps(said["status"])
        if NAMESPACE in text or MACHINE in text:
            raise AssertionError(f"the squatter learns of another tenant: {text}")
        await w.kube.patch(Machine.info.kind, MACHINE, NAMESPACE, _nudge())
        held = await w.until(Machine.info.kind, NAMESPACE, MACHINE, has("Ready"), LONG)
        if condition(held, "Ready").get("reason") == "HostInUse":
            raise AssertionError("the squatter holds another tenant's host")
        await w.kube.delete(Machine.info.kind, "squatter", VICTIM)
        await w.gone(Machine.info.kind, VICTIM, "squatter", LONG)


def _nudge() -> dict[str, Any]:
    """An annotation of ours wakes whoever looks after the object."""
    return {"metadata": {"annotations": {"kok.dev/e2e": datetime.now(UTC).isoformat()}}}


async def metadata_address(w: Environment) -> None:
    """Operators are sent to where a cloud tells a machine its credentials: none goes there."""
    store = {"endpoint": f"https://{METADATA}", "bucket": "etcd-backups", "secret": "none"}
    ssh = {"user": "root", "secret": userfiles.SSH_SECRET}
    machine = {"cluster": SHOP, "node": LURED, "address": METADATA, "ssh": ssh}
    kubenode: dict[str, Any] = {"cluster": SHOP, "artifacts": {"baseURL": f"https://{METADATA}"}}
    # Of a version that no other KubeNode here has, so that its sums have to be fetched.
    kubenode["runtime"] = {"version": "2.0.0"}
    lured = (
        (CLUSTER, clusters.manifest(NAMESPACE, LURED, endpoint={"host": METADATA})),
        (etcd.KIND, etcd.manifest(NAMESPACE, LURED, backup={"store": {"s3": store}})),
        (Machine.info.kind, _object(Machine.info.kind, LURED, machine)),
        (KubeNode.info.kind, _object(KubeNode.info.kind, LURED, kubenode)),
    )
    with w.report.step("nobody is sent to the metadata address"):
        for kind, manifest in lured:
            await w.apply(manifest)
            await w.until(kind, NAMESPACE, LURED, _refuses_metadata, LONG)
            await w.kube.delete(kind, LURED, NAMESPACE)
        for kind, _ in lured:
            await w.gone(kind, NAMESPACE, LURED, LONG)


def _refuses_metadata(found: Manifest) -> bool:
    ready = condition(found, "Ready")
    where = f"{METADATA} lies in 169.254.0.0/16, which is forbidden"
    return ready.get("status") == "False" and where in ready.get("message", "")


def _object(kind: Kind, name: str, spec: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }
