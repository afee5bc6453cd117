"""Ten business clusters whose APIs do their worst at once do not take an operator's memory."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.operators import hostile
from tests.integration.operators.hostile import Worst

ROOT = Path(__file__).parents[3]
PATIENCE = 300.0
ALL = (
    *(hostile.flood, hostile.kept, hostile.packed, hostile.endless, hostile.giant),
    *(hostile.drips, hostile.fat, hostile.lines, hostile.nested, hostile.refusals),
)
TOO_LARGE = {
    hostile.endless: "answered with ",
    hostile.giant: "more than 6291456 bytes",
    hostile.lines: "a line of more than 2097152 bytes",
}
"""What is said of those who exceed what is taken from one API server."""


def memory_limit() -> int:
    """Bytes that an operator may take by default: the least of the chart's."""
    values = yaml.safe_load((ROOT / "charts" / "kok" / "values.yaml").read_text())
    limits = [
        operator["resources"]["limits"]["memory"]
        for operator in values["operators"].values()
        if "resources" in operator
    ]
    return min(int(limit.removesuffix("Mi")) * 2**20 for limit in limits if limit.endswith("Mi"))


async def swallowed(worst: Sequence[Worst]) -> dict[str, Any]:
    """What the process of `swallowing` tells once each server has done what it can."""
    async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
        servers = hostile.all_of(worst)
        addresses = [await stack.enter_async_context(hostile.serving(one)) for one in servers]
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.operators.swallowing", *addresses),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            done = [asyncio.create_task(server.done.wait()) for server in servers]
            died = asyncio.create_task(child.wait())
            while not died.done() and not all(task.done() for task in done):
                left = [task for task in done if not task.done()]
                await asyncio.wait([*left, died], return_when=asyncio.FIRST_COMPLETED)
            assert child.returncode is None, "the process died"
            excess = [n for n, one in enumerate(worst) if one in TOO_LARGE]
            out, _ = await child.communicate(f"{json.dumps(excess)}\n".encode())
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        assert child.returncode == 0
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.mark.parametrize(
    "worst", [hostile.kept, hostile.stalled, hostile.giant, hostile.fat, hostile.lines]
)
async def test_ten_at_once_fit_into_the_memory_of_an_operator(worst: Worst) -> None:
    found = await swallowed([worst] * 10)
    assert found["memory"] < memory_limit() * 3 // 4


async def test_ten_that_do_ten_bad_things_fit_as_well_and_only_they_are_blamed() -> None:
    kinds: tuple[Worst, ...] = (*ALL, hostile.honest)
    found = await swallowed(kinds)
    assert found["memory"] < memory_limit() * 3 // 4
    for kind, excess in zip(kinds, found["excess"], strict=True):
        assert TOO_LARGE.get(kind, "") in (excess or "")
    assert found["excess"][-1] is None
    assert found["known"][-1]
