"""What people reported: mistakes and mishaps of every day, each told truthfully and mended."""

from __future__ import annotations

from e2e.report import Report
from e2e.stories import control, hosts, owners, pods
from e2e.world import world


async def run(report: Report) -> None:
    """All stories, one group after the other."""
    async with world(report, meta=1, workers=3) as w:
        await control.tell(w)
        await hosts.tell(w)
        await pods.tell(w)
        await owners.tell(w)
