"""Members of etcd whose clock is wrong, although all hosts of the lab share the kernel's.

On the host of a member the image of etcd is replaced by one whose programs see another time (see
`e2e.lab.programs.clock_skew`), and the member's pod is killed: it comes back on its volume with a wrong clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from rich.console import Console

from e2e.faults import disruption
from e2e.fixtures import etcd
from e2e.framework.environment import Environment
from e2e.lab.cluster.meta import FIRST
from e2e.lab.errors import LabError
from e2e.lab.images import catalog
from e2e.lab.plan import BuildPlan
from e2e.lab.programs.sources import ETCD
from e2e.lab.steps.graph import Graph
from e2e.lab.steps.progress import reporter
from e2e.polling import eventually
from kok.kube import kinds

METRICS = 2381
"""Where a member answers without TLS, which is what a wrong clock breaks."""
EXACT = 30.0
"""Seconds that a clock may differ from what it was set to: the host may be slow to answer."""
_USUAL = catalog.etcd(ETCD).reference


async def build(w: Environment, *clocks: int) -> None:
    """Builds and serves an etcd for each of these clocks, in seconds ahead of the right one."""
    graph = Graph()
    plan = BuildPlan(w.lab.supplies, graph)
    for clock in clocks:
        plan.serve_skewed_etcd(ETCD, clock)
    plan.forget_sources()
    async with reporter(Console()) as progress:
        await graph.run(progress)


async def member_beside(w: Environment, namespace: str, name: str = etcd.NAME) -> str:
    """A member that does not run on the first host, where kubeadm's own etcd has the same image."""
    for member in (await etcd.get(w, namespace, name))["status"]["members"]:
        if member.get("node") not in {None, FIRST}:
            return str(member["name"])
    raise AssertionError(f"all members of {namespace}/{name} run on {FIRST}")


@asynccontextmanager
async def wrong_clock(
    w: Environment, namespace: str, member: str, clock: int
) -> AsyncIterator[None]:
    """A member's clock is so many seconds ahead, behind if negative; `build` made the program.

    The member is killed at both ends; whether it is healthy is not waited for.
    """
    pod = await w.kube.get(kinds.POD, etcd.pod(member), namespace)
    node = ((pod or {}).get("spec") or {}).get("nodeName")
    if not node or node == FIRST:
        raise AssertionError(f"the clock of {member} on {node} is not to be touched")
    host, skewed = w.lab.host(node), catalog.etcd(ETCD, clock).reference
    try:
        await w.lab.meta.mask(host, _USUAL, skewed)
        await disruption.kill_pods(w, namespace, etcd.pod(member))
        await shows(w, namespace, member, clock)
        yield
    finally:
        await w.lab.meta.unmask(host, _USUAL, skewed)
        await disruption.kill_pods(w, namespace, etcd.pod(member))


async def shows(
    w: Environment, namespace: str, member: str, clock: int, within: float = etcd.SOON
) -> None:
    """Waits until a member's clock is so far from the right one, by its own account."""
    said: list[float | None] = [None]

    async def does() -> bool:
        said.append(await ahead(w, namespace, member))
        return said[-1] is not None and abs(said[-1] - clock) <= EXACT

    try:
        await eventually(does, within, every=0.5)
    except TimeoutError:
        raise AssertionError(f"the clock of {member} is {said[-1]} s ahead, not {clock}") from None


async def ahead(w: Environment, namespace: str, member: str) -> float | None:
    """By how many seconds a member's clock is ahead; None if it does not answer."""
    pod = await w.kube.get(kinds.POD, etcd.pod(member), namespace)
    address = ((pod or {}).get("status") or {}).get("podIP")
    if not address:
        return None
    url = f"http://{address}:{METRICS}/"
    ask = ("curl", "--silent", "--max-time", "5", "--output", "/dev/null")
    try:
        said = await w.lab.exec(FIRST, *ask, "--write-out", "%header{date}", url)
    except LabError:
        return None
    return (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds() if said else None
