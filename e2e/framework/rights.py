"""Were the rights that the chart gives the operators enough for all that they did?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from e2e.framework.environment import Environment
from e2e.framework.install import NAMESPACE

ACCOUNTS = f"system:serviceaccount:{NAMESPACE}:kok-"


async def refused(w: Environment, since: datetime) -> list[str]:
    """What the meta API server refused to the operators, from its audit log of writes."""
    return sorted(
        {
            f"{write.user.removeprefix(ACCOUNTS)} may not {write.verb} {write.resource}"
            for write in await w.lab.audit(since)
            if write.denied and write.user.startswith(ACCOUNTS)
        }
    )


async def nothing_was_refused(w: Environment, since: datetime) -> None:
    """Raises `AssertionError` with what was refused."""
    with w.report.step("the chart's rights were enough"):
        if found := await refused(w, since):
            raise AssertionError(f"add to charts/kok/files/rbac: {'; '.join(found)}")


@asynccontextmanager
async def enough_rights(w: Environment) -> AsyncIterator[None]:
    """Raises `AssertionError` at the end of the block with what was refused within it."""
    begin = datetime.now(UTC)
    yield
    await nothing_was_refused(w, begin)
