"""What people reported of hosts: how they become nodes, and how nodes change.

One Cluster and two hosts go through all of them; `node_removal` has how hosts stop being nodes.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

from e2e.faults import disruption
from e2e.fixtures import userfiles
from e2e.fixtures.hosts import host_pool
from e2e.framework.environment import Environment
from e2e.framework.follow import condition, has, is_not, until
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.lab.images.catalog import TOOLBOX
from e2e.polling import eventually
from e2e.stories import node_removal, shared_hosts, told, unmanaged_nodes, webhooks
from e2e.stories.one_at_a_time import one_after_the_other
from e2e.stories.shared_hosts import (
    CLUSTER,
    HOSTS,
    LEAVES,
    LONG,
    NAMESPACE,
    SHOP,
    SOON,
    STAYS,
    WORKERS,
)
from kok import pki
from kok.api import Addon
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_TRUST_CA, api_service, cluster_ca_secret
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError

ADDON = Addon.info.kind
LEDGER = f"{SHOP}-ledger"
LAST_WORDS = "cannot open /data/ledger.db: no such file"
WORD = "e2e.kok.dev/word"
_NO_RESOLVER = "cp /etc/resolv.conf /root/resolv.conf; {} > /etc/resolv.conf"
_RESOLVER = "cat /root/resolv.conf > /etc/resolv.conf"


async def tell(w: Environment) -> None:
    """All of them, one after the other; nothing is left."""
    await told(
        w,
        NAMESPACE,
        no_kubelet_reads_that,
        name_servers_that_pods_cannot_use,
        few_pod_addresses,
        labels_that_a_webhook_refuses,
        last_words_of_an_addon,
        a_kubelet_that_fails,
        a_silent_api,
        a_node_deleted_unseen,
        another_ca,
        node_removal.a_drain_ends_in_time,
        node_removal.a_host_that_cannot_be_cleaned,
        unmanaged_nodes.a_foreign_node,
        node_removal.a_namespace_without_operators,
    )


async def no_kubelet_reads_that(w: Environment) -> None:
    """fields and values that no kubelet could read are told before a host is touched"""
    await shared_hosts.bring(w, maxPodz=30)
    await _invalid(w, "maxPodz is no field", "maxPods?")
    await shared_hosts.kubelet(w, maxPodz=None, maxPods="thirty")
    await _invalid(w, "maxPods", "thirty")
    if made := await w.kube.list(host_pool.MACHINE, NAMESPACE):
        raise AssertionError(f"{len(made)} Machines were made with a kubelet that cannot start")


async def _invalid(w: Environment, *words: str) -> None:
    def check(manifest: Manifest) -> bool:
        text = condition(manifest, "Ready").get("message", "")
        invalid = has("Ready", "False", "KubeletConfigInvalid")(manifest)
        return invalid and all(word in text for word in words)

    await w.until(host_pool.KUBENODE, NAMESPACE, WORKERS, check, SOON)


async def name_servers_that_pods_cannot_use(w: Environment) -> None:
    """hosts that name themselves as name server, or none, are no nodes before that is mended"""
    await shared_hosts.root(w, STAYS, _NO_RESOLVER.format("echo nameserver 127.0.0.1"))
    await shared_hosts.root(w, LEAVES, _NO_RESOLVER.format(":"))
    await shared_hosts.kubelet(w, maxPods=None)
    for host, words in ((STAYS, "names 127.0.0.1"), (LEAVES, "names no name server")):
        found = await shared_hosts.of_machine(w, host, has("Ready", "False", "PreflightFailed"))
        said = condition(found, "Ready")["message"]
        if f"/etc/resolv.conf of the host {words}" not in said:
            raise AssertionError(f"of {host} is said: {said}")
    for host in HOSTS:
        await shared_hosts.root(w, host, _RESOLVER)
    await shared_hosts.all_serve(w)


async def few_pod_addresses(w: Environment) -> None:
    """nodes take no more pods than they have addresses for, and that is told"""
    nodes = await w.kube.get(host_pool.KUBENODE, WORKERS, NAMESPACE) or {}
    warning = condition(nodes, "PodAddresses")
    if (
        warning.get("reason") != "FewPodAddresses"
        or f"only {shared_hosts.PODS}" not in warning["message"]
    ):
        raise AssertionError(f"nothing is said of the pod addresses: {warning}")
    async with await w.business(NAMESPACE, SHOP) as inside:
        for node in await inside.list(kinds.NODE):
            if (pods := node["status"]["capacity"]["pods"]) != shared_hosts.PODS:
                raise AssertionError(f"{node['metadata']['name']} takes {pods} pods")


async def labels_that_a_webhook_refuses(w: Environment) -> None:
    """a webhook that refuses labels on Nodes has a condition, and Machines go on serving"""
    async with await w.business(NAMESPACE, SHOP) as inside:
        await inside.apply(webhooks.refusing("", "nodes"))
        await _refused(inside)
        await w.kube.patch(
            host_pool.KUBENODE, WORKERS, NAMESPACE, {"spec": {"labels": {WORD: "new"}}}
        )
        found = await shared_hosts.of_machine(w, STAYS, has("NodeMarked", "False", "MarksRefused"))
        if webhooks.WEBHOOK not in condition(found, "NodeMarked")["message"]:
            raise AssertionError(f"who refuses is not told: {condition(found, 'NodeMarked')}")
        if not has("Ready")(found):
            raise AssertionError(f"it serves, but is {condition(found, 'Ready')}")
        await inside.delete(webhooks.KIND, webhooks.NAME)
        for host in HOSTS:
            await until(inside, kinds.NODE, host, "", _labelled, within=LONG)
            await shared_hosts.of_machine(w, host, lambda m: not condition(m, "NodeMarked"))
    await shared_hosts.all_serve(w)


def _labelled(node: Manifest) -> bool:
    return bool(node["metadata"]["labels"].get(WORD) == "new")


async def _refused(inside: Kube) -> None:
    """API servers learn of webhooks a moment after they were made."""
    numbers = itertools.count()

    async def is_refused() -> bool:
        note = {"metadata": {"annotations": {WORD: str(next(numbers))}}}
        try:
            await inside.patch(kinds.NODE, STAYS, None, note)
        except KubeError as error:
            if webhooks.WEBHOOK in error.message:
                return True
            raise
        return False

    await eventually(is_refused, SOON, every=0.2)


async def last_words_of_an_addon(w: Environment) -> None:
    """the last words of an addon's pod that ends again and again stand in its condition"""
    await w.apply(_ledger())

    def quoted(addon: Manifest) -> bool:
        found = condition(addon, "Healthy")
        return found.get("status") == "False" and LAST_WORDS in found["message"]

    await w.until(ADDON, NAMESPACE, LEDGER, quoted, LONG)
    await w.kube.delete(ADDON, LEDGER, NAMESPACE)
    await w.gone(ADDON, NAMESPACE, LEDGER, LONG)


def _ledger() -> Manifest:
    text = userfiles.fill("ledger.yaml", image=TOOLBOX, words=LAST_WORDS)
    return {
        "apiVersion": ADDON.api_version,
        "kind": ADDON.kind,
        "metadata": {"name": LEDGER, "namespace": NAMESPACE},
        "spec": {"cluster": SHOP, "source": {"inline": text}},
    }


async def a_kubelet_that_fails(w: Environment) -> None:
    """a kubelet that does not start is quoted from its journal, and no other one is changed"""
    enough = userfiles.LAB_KUBELET["evictionHard"]
    await shared_hosts.kubelet(w, evictionHard={"memory.available": "plenty"})
    found = await shared_hosts.of_machine(w, STAYS, has("UpToDate", "False", "ServiceFailing"))
    said = condition(found, "UpToDate")["message"]
    if "service kubelet" not in said or "quantities must match" not in said:
        raise AssertionError(f"the kubelet is not quoted: {said}")
    other = await shared_hosts.of_machine(w, LEAVES, has("UpToDate"))
    if "plenty" in str(other["spec"]):
        raise AssertionError(f"{LEAVES} was changed although {STAYS} had not proven itself")
    await shared_hosts.kubelet(w, evictionHard=enough)
    await shared_hosts.all_serve(w)


async def a_silent_api(w: Environment) -> None:
    """while the API is silent a change is held back, and then comes to one node after the other"""
    servers = ("-n", NAMESPACE, "scale", f"deployment/{api_service(SHOP)}")
    await w.kube.patch(CLUSTER, SHOP, NAMESPACE, {"spec": {"paused": True}})
    await w.until(CLUSTER, NAMESPACE, SHOP, has("Paused"), SOON)
    await w.lab.kubectl(*servers, "--replicas=0")
    for host in HOSTS:
        await shared_hosts.of_machine(w, host, _unheard)
    before = await _components(w)
    await shared_hosts.kubelet(w, containerLogMaxSize="5Mi")
    await w.until(host_pool.KUBENODE, NAMESPACE, WORKERS, _holds_back, SOON)
    if await _components(w) != before:
        raise AssertionError("a Machine was changed while nothing was heard of any node")
    async with one_after_the_other(w, NAMESPACE, LONG):
        await w.kube.patch(CLUSTER, SHOP, NAMESPACE, {"spec": {"paused": False}})
    await shared_hosts.all_serve(w)


def _unheard(machine: Manifest) -> bool:
    return bool(condition(machine, "NodeReady").get("reason") == "ClusterUnreachable")


def _holds_back(nodes: Manifest) -> bool:
    text = condition(nodes, "Ready").get("message", "")
    return has("Ready", "False")(nodes) and f"{len(HOSTS)} wait for a change" in text


async def _components(w: Environment) -> list[str]:
    machines = await w.kube.list(host_pool.MACHINE, NAMESPACE)
    return sorted(str((m["metadata"]["name"], m["spec"]["components"])) for m in machines)


async def a_node_deleted_unseen(w: Environment) -> None:
    """a Node that is deleted while the operator hears nothing of its API is not held for there"""
    service = await w.kube.get(kinds.SERVICE, api_service(SHOP), NAMESPACE) or {}
    address = service["spec"]["clusterIP"]
    async with await w.business(NAMESPACE, SHOP) as inside:
        node = await inside.get(kinds.NODE, LEAVES) or {}
        pod = await shared_hosts.operator_pod(w)
        async with disruption.pod_parted(w, OPERATORS, pod, address):
            # What it had been told goes with the server that had told it.
            await disruption.kill_process(w, NAMESPACE, await _server(w), "kube-apiserver")
            await shared_hosts.of_machine(w, LEAVES, _unheard)
            await until(inside, kinds.NODE, LEAVES, "", lambda _: True, within=LONG)
            await inside.delete(kinds.NODE, LEAVES)
        # No kubelet makes its Node a second time unless somebody starts it again.
        other = is_not(node["metadata"]["uid"])
        await until(inside, kinds.NODE, LEAVES, "", other, within=LONG)
    await shared_hosts.all_serve(w)


async def _server(w: Environment) -> str:
    labels = {"kok.dev/cluster": SHOP, "app.kubernetes.io/component": "kube-apiserver"}
    pods = await w.kube.list(kinds.POD, NAMESPACE, labels=labels)
    return next(
        str(pod["metadata"]["name"]) for pod in pods if not pod["metadata"].get("deletionTimestamp")
    )


async def another_ca(w: Environment) -> None:
    """nodes turn to another CA one after the other"""
    ca = pki.new_ca("another", datetime.now(UTC))
    name = cluster_ca_secret(SHOP)
    await w.kube.patch(kinds.SECRET, name, NAMESPACE, {"data": pki.ca_secret_data(ca)})
    trust = {ANNOTATION_TRUST_CA: pki.fingerprint(ca.cert_pem)}
    async with one_after_the_other(w, NAMESPACE, LONG):
        await w.kube.patch(CLUSTER, SHOP, NAMESPACE, {"metadata": {"annotations": trust}})
    await shared_hosts.all_serve(w)
