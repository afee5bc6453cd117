"""What hinders an upgrade, or comes in its way: each is told by the Cluster, and has a way out.

One Cluster with three members of etcd and two API servers goes through all of them, from `RUNS` to
`NEXT` and back.
"""

from __future__ import annotations

from typing import Any

from e2e.fixtures import clusters
from e2e.framework.environment import Environment
from kok.api import names
from kok.kube import kinds

NAMESPACE, SHOP = "e2e-upgrade-faults", "shop"
WHERE = (NAMESPACE, SHOP)
RUNS, NEXT, NO_IMAGE = "1.37.0", "1.37.1", "1.37.99"
BLOCKED, HANGS, BACK = "UpgradeBlocked", "UpgradeStuck", "UpgradeBackedOut"
POLICY = {"onFailure": "Halt", "progressDeadline": "10m"}
"""The defaults."""


async def change(w: Environment, **spec: Any) -> None:
    """Changes the Cluster's spec."""
    await clusters.change(w, *WHERE, **spec)


async def consent(w: Environment, check: str | None) -> None:
    """Consents to what a check of the preflight finds; None: to nothing any more."""
    notes = {"metadata": {"annotations": {names.ANNOTATION_UPGRADE_CONSENT: check}}}
    await w.kube.patch(clusters.KIND, SHOP, NAMESPACE, notes)


async def told(w: Environment, *words: str, reasons: tuple[str, ...] = ()) -> None:
    """Waits until the Cluster says what is wrong, in its sum as well, while its API serves."""
    await clusters.told(w, *WHERE, *words, reasons=reasons)
    await serves(w)


async def serves(w: Environment) -> None:
    """A user is answered."""
    async with await w.business(*WHERE) as inside:
        await inside.list(kinds.NAMESPACE)


async def through(w: Environment, version: str = NEXT) -> None:
    """What was mended goes on by itself to its end."""
    await clusters.at_rest(w, *WHERE, version)
    await serves(w)


async def begun(w: Environment, version: str = NEXT, **spec: Any) -> None:
    """An upgrade is asked for, and is in the middle of replacing API servers."""
    await change(w, version=version, **spec)
    await clusters.in_step(w, *WHERE, "APIServer")


async def afresh(w: Environment) -> None:
    """Back to where every story begins."""
    await change(w, version=RUNS)
    await through(w, RUNS)
