"""What people reported of hosts that join by `kubeadm join` and belong to no Machine."""

from __future__ import annotations

import re
import shlex

from e2e.fixtures import business_cluster, userfiles
from e2e.fixtures.hosts import kubeadm_node
from e2e.framework.environment import Environment
from e2e.framework.follow import condition, has, until
from e2e.lab.images.catalog import TOOLBOX
from e2e.polling import eventually
from e2e.stories import shared_hosts
from e2e.stories.node_removal import kok
from e2e.stories.shared_hosts import CLUSTER, LEAVES, LONG, NAMESPACE, SHOP
from kok.kube import kinds

FOREIGN = "ForeignNodesCertified"
UNCERTIFIED = "tls: internal error"
"""What an API server says of a kubelet without a serving certificate."""
_ASK_AGAIN = "rm /var/lib/kubelet/pki/kubelet-server-*; systemctl restart kubelet"


async def a_foreign_node(w: Environment) -> None:
    """a host that joins by kubeadm is told of, and approved by hand or by the operator"""
    await kubeadm_node.join(w, LEAVES, NAMESPACE, SHOP)
    async with await w.business(NAMESPACE, SHOP) as inside:
        node = await until(inside, kinds.NODE, LEAVES, "", has("Ready"), within=LONG)
        if (pods := node["status"]["capacity"]["pods"]) != shared_hosts.PODS:
            raise AssertionError(f"{LEAVES} takes {pods} pods")
        for manifest in userfiles.documents(
            userfiles.fill("hello.yaml", image=TOOLBOX, node=LEAVES)
        ):
            await inside.apply(manifest)
        await until(inside, kinds.POD, "hello", "default", has("Ready"), within=LONG)
        found = await w.until(
            CLUSTER, NAMESPACE, SHOP, has(FOREIGN, "False", "ApprovalNeeded"), LONG
        )
        said = condition(found, FOREIGN)["message"]
        command = re.search(r"kok (node approve [^,]+),", said)
        if LEAVES not in said or command is None:
            raise AssertionError(f"neither the node nor the command is named: {said}")
        await _shows(w, UNCERTIFIED)
        await kok(w, *shlex.split(command.group(1)))
        await _shows(w, "hello")
        await w.until(CLUSTER, NAMESPACE, SHOP, lambda m: not condition(m, FOREIGN), LONG)
        await w.kube.patch(CLUSTER, SHOP, NAMESPACE, {"spec": {"nodes": {"foreign": "Approve"}}})
        await shared_hosts.root(w, LEAVES, _ASK_AGAIN)
        await _shows(w, "hello")
        await inside.delete(kinds.NODE, LEAVES)
    await w.lab.reset(LEAVES)


async def _shows(w: Environment, words: str) -> None:
    """Waits until `kubectl logs` and `kubectl exec` answer with these words."""
    for command in (("logs", "hello"), ("exec", "hello", "--", "echo", "hello")):
        kubeconfig, said = await w.kubeconfig(NAMESPACE, SHOP), [""]

        async def says() -> bool:
            said.append(await _said(w, kubeconfig, *command))  # noqa: B023 - waited for below
            return words in said[-1]  # noqa: B023

        try:
            await eventually(says, LONG, every=0.5)
        except TimeoutError:
            raise AssertionError(f"kubectl {command[0]} on {LEAVES} says {said[-1]}") from None


async def _said(w: Environment, kubeconfig: str, *command: str) -> str:
    try:
        return await business_cluster.kubectl(w.lab, kubeconfig, *command)
    except RuntimeError as error:
        return str(error)
