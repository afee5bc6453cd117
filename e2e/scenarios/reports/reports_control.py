"""Of what people reported the stories about control planes."""

from __future__ import annotations

from e2e.framework.environment import environment
from e2e.framework.report import Report
from e2e.stories import control_plane


async def run(report: Report) -> None:
    """One group of `reports`."""
    async with environment(report, meta=1, workers=0) as w:
        await control_plane.tell(w)
