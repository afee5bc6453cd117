"""Removes the Addons that one for many Clusters has made, bounded in time."""

from __future__ import annotations

from datetime import timedelta

from kok.api.cluster.addon import Addon
from kok.operators.cluster import reasons
from kok.runtime.children.deletion import BoundedDeletion, name_of
from kok.runtime.controller.reconciler import DONE, Done, Pass, Result

GOING_FOR = timedelta(seconds=120)
"""How long the Addons of Clusters are waited for: each gives up by itself before."""


async def step(p: Pass[Addon]) -> Result | Done:
    """One pass of the clean-up of a deleted Addon; `Wait` says what is still there."""
    going = BoundedDeletion(p, reasons.GAVE_UP)
    found = await going.children(Addon.info.kind)
    await going.delete(Addon.info.kind, found)
    going.wait_for(map(name_of, found), "Addon", reasons.DELETING_ADDONS, GOING_FOR)
    return DONE
