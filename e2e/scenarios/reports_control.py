"""Of what people reported the stories about control planes."""

from __future__ import annotations

from e2e.report import Report
from e2e.stories import control
from e2e.world import world


async def run(report: Report) -> None:
    """One group of `reports`."""
    async with world(report, meta=1, workers=0) as w:
        await control.tell(w)
