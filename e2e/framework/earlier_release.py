"""KOK as it was before, from the history of the checkout: to be taken over by the KOK of now."""

from __future__ import annotations

from pathlib import Path

from e2e.lab import Lab, LabError
from e2e.lab.machine.commands import run

CHECKOUT = Path(__file__).resolve().parents[2]
BEFORE = "ac544be25e14"
"""The tree whose objects are taken over: the last one before status had one author and operations
were recorded for every kind. It is replaced by the latest release once there is one."""


async def tree(lab: Lab, revision: str = BEFORE) -> Path:
    """The files of that revision, in the lab's cache. Raises `LabError` where history lacks it."""
    asked = ("git", "-C", CHECKOUT, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    commit = (await run(*asked, check=False)).strip()
    if not commit:
        raise LabError(
            f"the checkout's history has no {revision}: make it whole with git fetch --unshallow"
        )

    async def unpack(work: Path) -> None:
        archive = work / "tree.tar"
        await run("git", "-C", CHECKOUT, "archive", "--output", archive, commit)
        await run("tar", "-xf", archive, "-C", work)
        archive.unlink()

    return await lab.supplies.cache.ensure(("trees", commit), unpack)
