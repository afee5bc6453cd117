"""What people reported: mistakes and mishaps of every day, each told truthfully and mended."""

from __future__ import annotations

from e2e.framework.environment import environment
from e2e.framework.report import Report
from e2e.stories import control_plane, credentials, hosts, pods


async def run(report: Report) -> None:
    """All stories, one group after the other."""
    async with environment(report, meta=1, workers=3) as w:
        await control_plane.tell(w)
        await hosts.tell(w)
        await pods.tell(w)
        await credentials.tell(w)
