"""`make demo`: from nothing to a business cluster with a node that runs a pod."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from e2e.fixtures import business_cluster, userfiles
from e2e.framework.environment import PATIENCE, Environment, environment
from e2e.framework.follow import has
from e2e.framework.report import Report, run_to_end
from kok.api import Cluster, Machine
from kok.kube.client import Kube

NAMESPACE = "demo"
CLUSTER = "shop"
WORKER = "worker-1"
FILE_LINES = 40


async def first_cluster(
    w: Environment, *, namespace: str = NAMESPACE, worker: str = WORKER, version: str = "1.37.1"
) -> None:
    """Applies the user's file and follows it until a pod of the new cluster resolved a name."""
    text = userfiles.first_cluster(w.lab, worker, namespace=namespace, version=version)
    if len(text.splitlines()) >= FILE_LINES:
        raise AssertionError(f"a first cluster must fit in fewer than {FILE_LINES} lines")
    await w.namespace(namespace)
    await w.apply(
        userfiles.ssh_secret(w.lab, worker, namespace), userfiles.checksums(w.lab, namespace)
    )
    w.report.title("The file that is applied")
    w.report.text(text)
    w.report.title("From the file to a node")
    await w.apply(*userfiles.documents(text))
    with w.report.step("control plane and node, side by side", "cluster_and_node_s"):
        await asyncio.gather(
            _timed(w, "cluster_ready_s", Cluster, namespace, CLUSTER),
            _timed(w, "node_ready_s", Machine, namespace, f"{CLUSTER}-workers-{worker}"),
        )
    with w.report.step("a pod that resolves a name", "pod_s"):
        kubeconfig = await w.kubeconfig(namespace, CLUSTER)
        async with await Kube.from_kubeconfig(
            kubeconfig, field_manager="kok-e2e", timeout=PATIENCE
        ) as kube:
            said = await business_cluster.dns_check(w.lab, kube, kubeconfig)
    w.report.line(f"the pod printed: {' '.join(said.split())}")


async def _timed(
    w: Environment, figure: str, kind: type[Cluster] | type[Machine], namespace: str, name: str
) -> None:
    begin = w.report.elapsed
    await w.until(kind.info.kind, namespace, name, has("Ready"), 600.0)
    w.report.figures[figure] = round(w.report.elapsed - begin, 1)


async def demo(report: Report) -> None:
    """The whole demo; it leaves everything running."""
    async with environment(report, meta=1, workers=1) as w:
        await first_cluster(w)
        report.title("kubectl get kok -A")
        report.text(await w.lab.kubectl("get", "kok", "-A"))
        report.title("Nodes of the business cluster")
        kubeconfig = await w.kubeconfig(NAMESPACE, CLUSTER)
        report.text(await business_cluster.kubectl(w.lab, kubeconfig, "get", "nodes", "-o", "wide"))
        report.title("Now try")
        programs = f"{w.lab.program('kubectl').parent}:{Path(sys.executable).parent}"
        report.text(
            f"export KUBECONFIG={w.lab.kubeconfig} PATH={programs}:$PATH\n"
            f"kubectl get kok -A\n"
            f"kok kubeconfig {CLUSTER} -n {NAMESPACE} > shop.kubeconfig\n"
            f"make lab-down    # removes all of it"
        )


def main() -> int:
    """Exit code 0 when the pod has resolved its name, 2 where it is given arguments."""
    if sys.argv[1:]:
        sys.stderr.write(f"{__doc__}\nIt takes no arguments: {' '.join(sys.argv[1:])}\n")
        return 2
    report = Report()
    report.title("KOK: from nothing to a business cluster with a working node")
    run_to_end(demo(report))
    report.last_line("demo")
    return 0


if __name__ == "__main__":
    sys.exit(main())
