"""The machine operator is killed each time that it has recorded something of a Machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from e2e.faults import disruption
from e2e.framework.environment import Environment
from kok.api import Machine
from kok.api.meta import Manifest

MACHINE = Machine.info.kind


def recorded(machine: Manifest) -> set[str]:
    """What a Machine's status has of what is under way, or may be: a word for each."""
    status = machine.get("status") or {}
    found = set()
    if status.get("installedOn"):
        found.add("the host")
    if status.get("tokenId"):
        found.add("a token")
    for component in status.get("components") or ():
        job = component.get("job") or {}
        if job and job.get("exit") is None:
            found.add(f"{component['name']} {job['script']} {job.get('attempt', 1)}")
    if operation := status.get("operation"):
        found.add(f"{operation['type']} {operation.get('step', '')}")
    return found


@asynccontextmanager
async def at_each_step(w: Environment, namespace: str, name: str) -> AsyncIterator[list[str]]:
    """As long as the block lasts: at which records of one Machine the operator was killed."""
    kills: list[str] = []
    following = asyncio.create_task(_follow(w, namespace, name, kills))
    try:
        yield kills
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def _follow(w: Environment, namespace: str, name: str, kills: list[str]) -> None:
    """What is written while an operator is killed is seen next: no record is missed."""
    known: set[str] = set()
    async with aclosing(w.kube.watch(MACHINE, namespace)) as events:
        async for event in events:
            if event.type not in {"ADDED", "MODIFIED"} or event.object["metadata"]["name"] != name:
                continue
            if new := recorded(event.object) - known:
                known |= new
                kills.append(", ".join(sorted(new)))
                w.report.line(f"the operator is killed; recorded is {kills[-1]}")
                await disruption.kill_operator(w, "machine")
