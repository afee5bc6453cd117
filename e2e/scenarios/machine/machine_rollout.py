"""Software goes over four nodes while a Service is asked all the time; paused, resumed, two at once.

A Component that asks for a drain, then a change of the kubelet in place: batches after a canary, no
request fails, and nodes that are under way go on to what is newest.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from e2e.fixtures import rolling, userfiles
from e2e.fixtures.rolling import LONG, Requests, with_agent
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from kok.api.meta import Manifest
from kok.kube.client import Kube

NAMESPACE = "e2e-machine-rollout"
HOSTS = rolling.hosts(4)
POLICY = {"canary": 1, "batch": 2, "maxUnavailable": 1, "soak": "3s", "onFailure": "Rollback"}


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with environment(report, workers=len(HOSTS)) as w, enough_rights(w):
        spec: dict[str, Any] = {"rollout": POLICY, "components": with_agent("1.0")}
        async with (
            rolling.serving(w, NAMESPACE, HOSTS, **spec) as inside,
            rolling.requested(w, inside, HOSTS[0]) as requests,
        ):
            await drained(w, inside, requests)
            await in_place(w, requests)
            await paused(w, inside, requests)
            await two_at_once(w, requests)
            await requests.none_failed()
            report.line(f"{requests.asked} requests, {requests.failed} of them failed")


async def drained(w: Environment, inside: Kube, requests: Requests) -> None:
    """Every node is drained for it, one batch after the other, and takes pods again."""
    with w.report.step("a Component that asks for a drain goes over all nodes", "drained_s"):
        await rolling.change(w, NAMESPACE, components=with_agent("1.1"))
        followed = asyncio.create_task(
            rolling.kok(w, "rollout", "status", rolling.WORKERS, "-n", NAMESPACE, "-w")
        )
        found = await rolling.told(w, NAMESPACE, rolling.rolled_out("True"))
        async with asyncio.timeout(LONG):
            text = await followed
    if (batches := found["status"]["rollout"]["batch"]) != 3:
        raise AssertionError(f"four nodes are three batches of 1, 2 and 1, not {batches}")
    if "Draining" not in text or "Done, 4/4" not in text:
        raise AssertionError(f"kok rollout status -w should have told of it: {text}")
    for host in HOSTS:
        if (there := await rolling.installed(w, host)) != ("1.1", 2):
            raise AssertionError(f"{host} should have 1.1, installed once since 1.0: {there}")
    if left := [name for name, shut in (await rolling.cordons(inside)).items() if shut]:
        raise AssertionError(f"{left} were left cordoned")
    await requests.none_failed()


async def in_place(w: Environment, requests: Requests) -> None:
    """A kubelet that gets other parameters is restarted, and its pods stay."""
    kubelet = {**userfiles.LAB_KUBELET, "maxPods": 60}
    with w.report.step("other parameters of the kubelet, in place", "in_place_s"):
        await rolling.change(w, NAMESPACE, kubelet=kubelet)
        await rolling.told(w, NAMESPACE, rolling.rolled_out("True"))
    await requests.none_failed()


async def paused(w: Environment, inside: Kube, requests: Requests) -> None:
    """What was begun comes to its end, nothing else begins, and then it goes on."""
    with w.report.step("a rollout that is paused and resumed", "paused_s"):
        await rolling.change(w, NAMESPACE, components=with_agent("1.2"))
        await rolling.told(w, NAMESPACE, rolling.under_way("Draining", "Changing"))
        await rolling.kok(w, "rollout", "pause", rolling.WORKERS, "-n", NAMESPACE)
        found = await rolling.told(w, NAMESPACE, _rests)
        updated = found["status"]["rollout"]["updated"]
        if not 1 <= updated < len(HOSTS):
            raise AssertionError(f"what was begun should have come to its end, not {updated} nodes")
        if shut := [name for name, closed in (await rolling.cordons(inside)).items() if closed]:
            raise AssertionError(f"{shut} are cordoned while nothing goes on")
        await rolling.kok(w, "rollout", "resume", rolling.WORKERS, "-n", NAMESPACE)
        await rolling.told(w, NAMESPACE, rolling.rolled_out("True"))
    await requests.none_failed()


def _rests(found: Manifest) -> bool:
    rollout = (found.get("status") or {}).get("rollout") or {}
    return rolling.reason(found) == "RolloutPaused" and not rollout.get("nodes")


async def two_at_once(w: Environment, requests: Requests) -> None:
    """The newest wins: nodes under way go on to it, and no node gets what is wanted no more."""
    with w.report.step("another spec in the middle of a rollout", "two_at_once_s"):
        await rolling.change(w, NAMESPACE, components=with_agent("1.1"))
        await rolling.told(w, NAMESPACE, rolling.under_way("Changing", "Soaking"))
        begun = time.monotonic()
        await rolling.change(w, NAMESPACE, components=with_agent("1.0"))
        await rolling.told(w, NAMESPACE, rolling.rolled_out("True"))
        w.report.figures["newest_s"] = round(time.monotonic() - begun, 1)
    seen = [await rolling.installed(w, host) for host in HOSTS]
    if {version for version, _ in seen} != {"1.0"}:
        raise AssertionError(f"all should have the newest, not {seen}")
    if all(times > len(HOSTS) for _, times in seen):
        raise AssertionError(f"nobody should have got 1.1 after it was no longer wanted: {seen}")
    await requests.none_failed()
