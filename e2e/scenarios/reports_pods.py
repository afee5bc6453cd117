"""Of what people reported the stories about pods in the meta cluster and what is users' own."""

from __future__ import annotations

from e2e.report import Report
from e2e.stories import owners, pods
from e2e.world import world


async def run(report: Report) -> None:
    """Two groups of `reports`."""
    async with world(report, meta=1, workers=1) as w:
        await pods.tell(w)
        await owners.tell(w)
