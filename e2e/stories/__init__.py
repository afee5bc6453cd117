"""What people reported: each story is told truthfully by KOK, and mended.

A module is a group of stories that share what they work on; scenarios tell one group or all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from e2e.framework.environment import Environment
from e2e.framework.rights import nothing_was_refused

Story = Callable[[Environment], Awaitable[None]]
LONG = 900.0


async def told(w: Environment, namespace: str, *stories: Story) -> None:
    """Stories in a namespace of their own, one after the other; nothing is left."""
    await w.drop_namespace(namespace, within=LONG)
    begin = datetime.now(UTC)
    await w.namespace(namespace)
    for story in stories:
        with w.report.step((story.__doc__ or story.__name__).strip().splitlines()[0]):
            await story(w)
    counted = w.report.figures.get("stories", 0)
    w.report.figures["stories"] = int(counted) + len(stories)
    with w.report.step("everything deleted"):
        await w.drop_namespace(namespace, within=LONG)
    await nothing_was_refused(w, begin)
