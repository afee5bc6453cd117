"""A Cluster with a node gets a tunnel, uses it, and is without one again.

Nothing leads from the lab's meta cluster to pods and Services of a business cluster: what is reached there
is reached by the tunnel. The scenario `konnectivity` has all of it, with a firewall between them.
"""

from __future__ import annotations

from e2e.fixtures import inside, tunnel
from e2e.framework.environment import Environment
from e2e.framework.follow import until_gone
from e2e.polling import eventually
from kok.kube import kinds
from kok.kube.errors import KubeError

SOON = 180.0


async def served(w: Environment) -> None:
    """What is needed for it; apart, since a lab builds one thing at a time."""
    with w.report.step("the images of tunnels are served", "tunnel_served_s"):
        await w.lab.want_konnectivity()


async def comes_and_goes(w: Environment, namespace: str, cluster: str, node: str) -> None:
    """Nothing is left of it, nor of the pods that were reached."""
    async with await w.business(namespace, cluster) as kube:
        with w.report.step("pods that are to be reached", "tunnel_pods_s"):
            authority = await inside.run_pods(w, kube, node)
        with w.report.step("spec.network.tunnel: Always", "tunnel_always_s"):
            await tunnel.turn(w, namespace, cluster, "Always")
            await eventually(lambda: tunnel.answers(kube), SOON, every=0.5, unless=(KubeError,))
        with w.report.step("a webhook, an aggregated API, logs and exec by it", "tunnel_works_s"):
            await inside.be_asked(kube, authority)
            await inside.some_works(w, kube, await w.kubeconfig(namespace, cluster))
            await inside.stop_asking(kube)
        with w.report.step("spec.network.tunnel: Never", "tunnel_never_s"):
            await tunnel.turn(w, namespace, cluster, "Never")
        for pod in inside.PODS:
            await kube.delete(kinds.POD, pod, inside.SPACE)
            await until_gone(kube, kinds.POD, pod, inside.SPACE, within=SOON)
