"""What hosts, users and business clusters say makes no series of metrics."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

from aiohttp import web
from prometheus_client import REGISTRY
from tests.unit.fakeapi import FakeApi, refusal

from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.machine.machine.operations.host_steps import Install
from kok.operators.machine.remote.hosts import HostClient
from kok.operators.machine.remote.jobs import JobPlan
from kok.operators.machine.remote.session import Sessions
from kok.operators.machine.remote.survey import Owner
from kok.runtime.clock import SystemClock


class Liar:
    """A host on which every job ends at once."""

    target = SimpleNamespace(place="192.0.2.1", namespace="team-a")

    def __init__(self, plans: list[JobPlan], code: int) -> None:
        self.plans, self.code = plans, code

    async def run(self, _text: str, *, deadline: float, each: Any = None) -> str:
        del deadline
        for plan in self.plans:
            each(f"ended {plan.id} {self.code} ")
        return ""

    async def get(self, *_: object) -> Liar:
        return self


def series() -> set[tuple[str, ...]]:
    """Names and labels of all series of the machine operator."""
    return {
        (sample.name, *sorted(f"{k}={v}" for k, v in sample.labels.items()))
        for metric in REGISTRY.collect()
        if metric.name.startswith("kok_machine")
        for sample in metric.samples
    }


async def work(names: list[str], code: int) -> None:
    sessions = Sessions(time.monotonic)
    session = sessions.of("m")
    plans = [JobPlan(f"j-{name}", name, "install", 9.0, "") for name in names]
    client = HostClient(
        cast("Any", Liar(plans, code)),
        SystemClock(),
        "m",
        cast("Any", SimpleNamespace()),
        session.memory,
        lambda: None,
    )
    install = Install(tuple(plans), cast("Any", dict.fromkeys(names)))
    await install._jobs(client, Owner(uid="m"))
    sessions.end("m")


async def test_names_of_components_of_users_are_none() -> None:
    await work(["kubelet", "mine"], 0)
    await work(["kubelet", "mine"], 1)
    before = series()
    assert any("component=kubelet" in labels for labels in before)
    for code in (0, 1):
        await work([f"tool-{number}" for number in range(64)], code)
    assert series() == before


async def test_reasons_of_a_business_clusters_api_are_none(api: FakeApi, kube: Kube) -> None:
    said = 0

    async def refuse(_: web.Request) -> web.StreamResponse:
        nonlocal said
        said += 1
        return refusal(403, f"R{said}", "no")

    api.script("GET", "secrets", refuse)
    sessions = Sessions(time.monotonic)

    async def fail() -> None:
        done = asyncio.Event()
        sessions.of("m").start("join", kube.get(kinds.SECRET, "a", "b"), done.set)
        await done.wait()
        sessions.end("m")

    async with asyncio.timeout(60):
        await fail()
        before = series()
        for _ in range(20):
            await fail()
    assert series() == before
    assert said > 20
