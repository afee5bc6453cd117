"""Of what people reported the stories about pods in the meta cluster and what is users' own."""

from __future__ import annotations

from e2e.framework.environment import environment
from e2e.framework.report import Report
from e2e.stories import credentials, pods


async def run(report: Report) -> None:
    """Two groups of `reports`."""
    async with environment(report, meta=1, workers=1) as w:
        await pods.tell(w)
        await credentials.tell(w)
