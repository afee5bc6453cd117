"""A load on a business cluster that notices every disturbance that a user of client-go would.

50 requests a second: over connections that are new or kept, by HTTP/1.1 and HTTP/2, lists of pods,
ConfigMaps that are updated and Leases that are renewed. 20 watches that see each of numbered changes.
The Leases of controller manager and scheduler. Where there is a node, `kubectl logs -f` and
`kubectl exec` on a pod that counts. It is a process of its own, so that a busy scenario does not slow
it down::

    async with loading(w, namespace, "shop") as load:
        await load.lap()                    # what came so far is of no interest
        ...                                 # an upgrade
        told = await load.finish()
    undisturbed(told)                       # raises AssertionError with what failed

What counts as what:

- An answer 429 or 5xx with Retry-After is asked for again, as client-go does, and counted as `waited`.
- A kept connection that ends before any byte of the answer, under a request that does no harm twice or
  that the server says it never looked at (GOAWAY), is another try, counted as one of `races`.
- A write on a kept connection by HTTP/1.1 that the server ends as idle in that very moment is `torn`:
  there is no way by which the server could tell beforehand. A few are let pass, and told of.
- Everything else is a failure: refused and broken connections, also under a GET, which client-go
  would try again, any other status, and whatever takes a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from e2e.framework.environment import Environment
from e2e.lab.images.catalog import TOOLBOX
from e2e.load.verdict import faults, line, undisturbed

__all__ = ["Load", "faults", "line", "loading", "started", "undisturbed"]

CHECKOUT = Path(__file__).resolve().parents[2]
LINE_LIMIT = 1 << 22
BEGINS, ENDS = 420.0, 120.0


class Load:
    """The process at work; made by `loading`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def lap(self) -> dict[str, Any]:
        """What came of it since the last lap, or since the start."""
        return await self.ask("lap")

    async def finish(self) -> dict[str, Any]:
        """Ends it, and tells of the last lap; watches have the time to see everything."""
        return await self.ask("finish")

    async def ask(self, what: str, given: Any = None, within: float = ENDS) -> dict[str, Any]:
        """One command, and its answer. Raises RuntimeError with what went wrong there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(within):
            self._process.stdin.write(json.dumps({"do": what, "with": given}).encode() + b"\n")
            await self._process.stdin.drain()
            said = await self._process.stdout.readline()
        if not said:
            raise RuntimeError(f"the load ended with code {await self._process.wait()}")
        answer: dict[str, Any] = json.loads(said)
        if "error" in answer:
            raise RuntimeError(f"the load cannot {what}: {answer['error']}")
        return answer


@asynccontextmanager
async def loading(
    w: Environment, namespace: str, cluster: str, *, pods: bool = False
) -> AsyncIterator[Load]:
    """A load on a Cluster with its admin kubeconfig; `pods`: it has a node, for logs and exec."""
    kubeconfig = await w.kubeconfig(namespace, cluster)
    program = w.lab.program("kubectl") if pods else None
    async with started(kubeconfig, kubectl=program, image=TOOLBOX if pods else None) as load:
        yield load


@asynccontextmanager
async def started(
    kubeconfig: str,
    *,
    kubectl: Path | None = None,
    image: str | None = None,
    leaders: Sequence[str] | None = None,
    **chosen: Any,
) -> AsyncIterator[Load]:
    """The same for any API server; `image` is that of the pod that counts."""
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "e2e.load"),
        cwd=CHECKOUT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT,
    )
    load = Load(process)
    given = {"kubeconfig": kubeconfig, "kubectl": str(kubectl or ""), "image": image, **chosen}
    if leaders is not None:
        given["leaders"] = list(leaders)
    try:
        await load.ask("start", given, BEGINS)
        yield load
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
