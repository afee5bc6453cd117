"""One run at a time in a lab, and each finds nothing there that another one left half done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from e2e.framework.report import Report
from e2e.lab.cluster.state import Store, lab_name
from e2e.lab.machine.cache import Cache
from e2e.lab.teardown import take_down


@asynccontextmanager
async def alone(
    name: str, report: Report, *, take_down: Callable[[Cache], Awaitable[None]] = take_down
) -> AsyncIterator[None]:
    """A run of that name has the lab for itself; another one is waited for.

    A run that was killed, or failed, leaves clusters and hosts as they were at that moment. The same
    run begins by removing its own; another one knows nothing of them, and takes the lab down, so that
    it begins with a new one.
    """
    cache, store = Cache(), Store(lab_name())
    unfinished = store.root / "unfinished"
    with cache.if_free("run", store.name) as free:
        if not free:
            report.line(f"another run works in the lab {store.name}; waiting for it")
    async with cache.lock("run", store.name):
        before = unfinished.read_text(encoding="utf-8") if unfinished.exists() else name
        if before != name:
            report.line(f"{before} did not end well in the lab {store.name}: a new lab is made")
            await take_down(cache)
        unfinished.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished.write_text(name, encoding="utf-8")
        yield
        unfinished.unlink(missing_ok=True)
