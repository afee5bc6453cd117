"""What a tunnel into a business cluster costs: the same requests with and without it, in turn."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from itertools import chain

from e2e.bench.clusters import NAMESPACE
from e2e.bench.figure import Figure, figure
from e2e.bench.inside.requests import MEBIBYTE, Requests, requests
from e2e.bench.usage import mebibytes, usage
from e2e.fixtures import clusters, inside, userfiles
from e2e.fixtures.tunnel import AGENT, Way, turn
from e2e.framework.environment import Environment
from e2e.framework.follow import has, until
from e2e.lab.images.catalog import BUSYBOX
from e2e.polling import eventually
from kok.api import KubeNode
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError

CLUSTER, WORKER = "reach", "worker-2"
WORKERS = f"{CLUSTER}-workers"
SERVER = "konnectivity-server"
WRITER = "writer"
ROUNDS = 2
EXECS, LINES, ASKED, BULKS = 40, 40, 200, 3
EXEC_BYTES, LOG_BYTES = 32 * MEBIBYTE, 8 * MEBIBYTE
SOON, LONG = 180.0, 900.0
ROUTED = {"extraArgs": [{"name": "enable-aggregator-routing", "value": "true"}]}
"""An aggregated API is asked at its pod's address, which without a tunnel leads somewhere, too."""
WRITES = f"line=$(printf %01023d 0); i=0; while [ $i -lt {LOG_BYTES // 1024} ]; do echo $line; i=$((i+1)); done"
LATENCY = {
    "exec": "`true` in a pod, a new connection each",
    "logs": "`logs -f`, from a line's writing to its arrival",
    "api": "an aggregated API, over a connection that is kept",
}
THROUGHPUT = {
    "exec": "what a program in a pod prints",
    "logs": "`logs -f` of what a pod printed",
    "api": "a large answer of an aggregated API",
}
TARGET = 1.5


@dataclass
class Measured:
    """By one way: of each kind of request milliseconds, and MiB a second; a list for each round."""

    latency: dict[str, list[list[float]]] = field(default_factory=lambda: defaultdict(list))
    throughput: dict[str, list[list[float]]] = field(default_factory=lambda: defaultdict(list))

    async def round(self, asked: Requests) -> None:
        """All of it once."""
        first, *execs = [await asked.execute(inside.TALKER, "true") for _ in range(EXECS + 1)]
        del first  # API server and kubelet connect, and the latter reads what it did not know.
        self.latency["exec"].append([1000 * seconds for seconds, _ in execs])
        delays = await asked.delays(inside.TALKER, LINES)
        self.latency["logs"].append([1000 * seconds for seconds in delays])
        answers = [await asked.aggregated(inside.GREETINGS) for _ in range(ASKED)]
        self.latency["api"].append([1000 * seconds for seconds, _ in answers])
        print_ = ("head", "-c", str(EXEC_BYTES), "/dev/zero")
        bulks = [await asked.execute(inside.TALKER, *print_) for _ in range(BULKS)]
        self.throughput["exec"].append(rates(bulks, EXEC_BYTES))
        logs = [await asked.whole_log(WRITER) for _ in range(BULKS)]
        self.throughput["logs"].append(rates(logs, LOG_BYTES))
        large = [await asked.aggregated(inside.BULK) for _ in range(BULKS)]
        self.throughput["api"].append(rates(large, inside.BULK_BYTES))


async def tunnel(w: Environment) -> AsyncIterator[Figure]:
    """exec, logs and an aggregated API with and without a tunnel, in turn; its memory."""
    await w.lab.want_konnectivity()
    straight, through = Measured(), Measured()
    rest: list[float] = []
    work: list[float] = []
    await _made(w)
    try:
        async with await w.business(NAMESPACE, CLUSTER) as kube:
            authority = await inside.run_pods(w, kube, WORKER, host_network=True)
            await _writer(kube)
            await inside.be_asked(kube, authority)
            for _ in range(ROUNDS):
                await _measured(w, kube, "Never", straight)
                await _measured(w, kube, "Always", through, rest, work)
            await inside.stop_asking(kube)
    finally:
        await _gone(w)
    for found in figures(straight, through):
        yield found
    for name, values in ((SERVER, (rest[0::2], work[0::2])), (AGENT, (rest[1::2], work[1::2]))):
        yield figure(f"{name}-rest", values[0], "MiB", note="resident, one of them")
        yield figure(f"{name}-work", values[1], "MiB", note="resident, after all of the above")


async def _measured(
    w: Environment, kube: Kube, word: Way, found: Measured, *memory: list[float]
) -> None:
    """One round by one way; of a tunnel its memory before and after, of server and agent in turn."""
    await _switched(w, kube, word)
    for one in memory[:1]:
        one.extend(await _memory(w, kube))
    async with requests(kube) as asked:
        await found.round(asked)
    for one in memory[1:]:
        one.extend(await _memory(w, kube))


async def _switched(w: Environment, kube: Kube, word: Way) -> None:
    """All API servers go that way, and the aggregated API answers."""
    await turn(w, NAMESPACE, CLUSTER, word)
    await eventually(lambda: _answers(kube), SOON, every=0.5, unless=(KubeError,))


async def _answers(kube: Kube) -> bool:
    return bool((await kube.raw("GET", inside.GREETINGS, timeout=10.0))["items"])


async def _memory(w: Environment, kube: Kube) -> tuple[float, float]:
    """MiB of a server and of an agent."""
    ours = await usage(w.kube, lambda namespace, pod: namespace == NAMESPACE and CLUSTER in pod)
    theirs = await usage(
        kube, lambda namespace, pod: namespace == "kube-system" and pod.startswith(AGENT)
    )
    servers = [one for one in ours if one.container == SERVER]
    return mebibytes(servers) / len(servers), mebibytes(theirs) / len(theirs)


def figures(straight: Measured, through: Measured) -> Iterable[Figure]:
    """What all of it comes to; ratios are of rounds that follow each other."""
    for name, note in LATENCY.items():
        one, other = straight.latency[name], through.latency[name]
        yield from _both(name, "ms", one, other, note)
        ratios = [
            statistics.median(b) / statistics.median(a) for a, b in zip(one, other, strict=True)
        ]
        target = TARGET if name == "exec" else None
        yield figure(f"konnectivity-{name}-ratio", ratios, "x-straight", target)
    for name, note in THROUGHPUT.items():
        rates_ = straight.throughput[name], through.throughput[name]
        yield from _both(f"{name}-rate", "MiB/s", *rates_, note)


def _both(
    name: str, unit: str, one: list[list[float]], other: list[list[float]], note: str
) -> Iterable[Figure]:
    straight, through = list(chain.from_iterable(one)), list(chain.from_iterable(other))
    yield figure(f"konnectivity-{name}-straight", straight, unit, note=note)
    yield figure(f"konnectivity-{name}", through, unit, note="the same by the tunnel")


def rates(found: list[tuple[float, int]], least: int) -> list[float]:
    """MiB a second; raises `AssertionError` where something is missing."""
    if any(count < least for _, count in found):
        raise AssertionError(f"{min(count for _, count in found)} bytes came of {least}")
    return [count / MEBIBYTE / seconds for seconds, count in found]


# --- the Cluster, its node, a pod


async def _made(w: Environment) -> None:
    await w.lab.reset(WORKER)
    text = userfiles.first_cluster(w.lab, WORKER, namespace=NAMESPACE, cluster=CLUSTER)
    _, node = userfiles.documents(text)
    await w.apply(
        userfiles.ssh_secret(w.lab, WORKER, NAMESPACE),
        userfiles.checksums(w.lab, NAMESPACE),
        clusters.manifest(NAMESPACE, CLUSTER, apiServer=ROUTED),
        node,
    )
    await w.until(KubeNode.info.kind, NAMESPACE, WORKERS, has("Ready"), LONG)
    await clusters.at_rest(w, NAMESPACE, CLUSTER)


async def _gone(w: Environment) -> None:
    await w.kube.delete(KubeNode.info.kind, WORKERS, NAMESPACE)
    await w.gone(KubeNode.info.kind, NAMESPACE, WORKERS, LONG)
    await w.kube.delete(clusters.KIND, CLUSTER, NAMESPACE)
    await w.gone(clusters.KIND, NAMESPACE, CLUSTER, LONG)
    await w.kube.delete(kinds.SECRET, userfiles.SSH_SECRET, NAMESPACE)


async def _writer(kube: Kube) -> None:
    """A pod that has said much, and ended."""
    container = {"name": WRITER, "image": BUSYBOX, "command": ["sh", "-c", WRITES]}
    spec = {"nodeName": WORKER, "restartPolicy": "Never", "containers": [container]}
    meta = {"name": WRITER, "namespace": inside.SPACE}
    await kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    await until(kube, kinds.POD, WRITER, inside.SPACE, _ended, within=LONG)


def _ended(pod: Manifest) -> bool:
    return (pod.get("status") or {}).get("phase") == "Succeeded"
