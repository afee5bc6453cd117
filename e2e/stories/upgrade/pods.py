"""Pods of the new version that cannot be, or cannot run."""

from __future__ import annotations

from contextlib import AsyncExitStack

from e2e.fixtures import clusters
from e2e.framework.environment import Environment
from e2e.lab.images import catalog, rootfs
from e2e.stories.upgrade import (
    BACK,
    BLOCKED,
    HANGS,
    NAMESPACE,
    NEXT,
    NO_IMAGE,
    POLICY,
    RUNS,
    WHERE,
    afresh,
    begun,
    change,
    consent,
    serves,
    through,
    told,
)
from kok.api.meta import Kind
from kok.kube import kinds

QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas")
BROKEN = "1.37.98"
"""A version whose images are there, and hold nothing that could be started."""


async def image_missing(w: Environment) -> None:
    """a version without image is told by its name, and can be taken back"""
    await change(w, version=NO_IMAGE)
    await told(w, NO_IMAGE, reasons=("ImageUnavailable", BLOCKED))
    await afresh(w)


async def flag_that_crashes(w: Environment) -> None:
    """a flag that the new API server does not take is told with its last words; without it all goes on"""
    flags = [{"name": "max-requests-inflight", "value": "many"}]
    await change(w, version=NEXT, apiServer={"extraArgs": flags})
    await told(w, "max-requests-inflight", reasons=("Crashing", BLOCKED))
    await change(w, apiServer={"extraArgs": []})
    await through(w)
    await afresh(w)


async def quota(w: Environment) -> None:
    """a quota that refuses one more pod is quoted, and the upgrade goes on without it"""
    there = len(await w.kube.list(kinds.POD, NAMESPACE))
    await w.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "small", "namespace": NAMESPACE},
            "spec": {"hard": {"pods": str(there)}},
        }
    )
    await change(w, version=NEXT)
    await told(w, "small", reasons=("PodsRefused", BLOCKED))
    await w.kube.delete(QUOTA, "small", NAMESPACE)
    await through(w)
    await afresh(w)


async def no_room(w: Environment) -> None:
    """no meta node takes one more pod: told in the scheduler's words, and mended by room"""
    nodes = [n["metadata"]["name"] for n in await w.kube.list(kinds.NODE)]
    async with AsyncExitStack() as stack:
        for node in nodes:
            stack.push_async_callback(w.lab.kubectl, "uncordon", node)
            await w.lab.kubectl("cordon", node)
        await change(w, version=NEXT)
        await told(w, reasons=("Unschedulable", BLOCKED))
    await through(w)
    await afresh(w)


async def called_off(w: Environment) -> None:
    """a version that never starts halts the upgrade, which says so; by onFailure: BackOut it goes back"""
    await broken_images(w)
    # The preflight finds that they do not run; who insists gets what he asked for.
    await consent(w, "Images")
    await begun(w, BROKEN, upgrade={**POLICY, "progressDeadline": "40s"})
    await told(w, f"set spec.version to {RUNS} to go back", reasons=(HANGS,))
    await change(w, upgrade={"onFailure": "BackOut"})
    found = await clusters.told(w, *WHERE, f"{RUNS} runs again", reasons=(BACK,))
    await serves(w)
    clusters.ended(found, RUNS, BROKEN, "BackedOut")
    if found["status"]["version"] != RUNS:
        raise AssertionError(f"it should run {RUNS} again, not {found['status']['version']}")
    await consent(w, None)
    await change(w, version=NEXT, upgrade=POLICY)
    await through(w)
    await afresh(w)


async def broken_images(w: Environment) -> None:
    """Images of a version, with nothing in them."""
    empty = await rootfs.ensure_static(w.lab.supplies.cache)
    for image in catalog.kubernetes(f"v{BROKEN}"):
        await w.lab.load_image(empty, image.reference)
