"""`python -m e2e.bench.upgrades.standins KUBECONFIG`: all stand-ins, until they are killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from e2e.bench.upgrades.standins.controllers import Controllers
from e2e.bench.upgrades.standins.meta import client


async def work(kubeconfig: Path) -> None:
    """Never returns."""
    async with await client(kubeconfig, "standins") as kube:
        await Controllers(kube).work()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1])))
