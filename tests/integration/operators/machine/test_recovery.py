"""Services of hosts that have served: with the operator at work, and killed, and real shells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.fifos import Gate
from tests.integration.apiserver import ApiServer
from tests.integration.operators.machine.conftest import (
    MACHINE,
    OperatorProcess,
    World,
    condition,
)
from tests.integration.operators.machine.test_hosts import prepared, scripts
from tests.unit.operators.machine.remote.services import Services
from tests.unit.operators.machine.sshd import FakeHost

from kok.api.meta import Manifest
from kok.runtime.process.main import Process

DIES_AFTER_THE_RECORD = """
import os
from kok.operators.machine.machine.remediation import remedy
async def die(self, context):
    os.kill(os.getpid(), 9)
remedy.ApplyRemedy.run = die
"""
"""For an operator that is killed when what it is about to do is recorded, and not done."""


@pytest.fixture
def services(host: FakeHost) -> Services:
    """What stands for systemd on the host."""
    return Services(host.home, "tool")


async def served(world: World, host: FakeHost, services: Services, **spec: Any) -> None:
    """A Machine with a service that has been a node before."""
    await world.key_of(host)
    health = services.health("tool")
    made_of = {**scripts(services.top), "health": health}
    file = {"path": f"{services.top}/tool.conf", "content": "one"}
    await world.component("tool", scripts=made_of, services=["tool"], files=[file])
    await world.machine(host, "tool-1.0", **spec)
    await world.until(MACHINE, "w1", prepared, "prepared")
    # There is no cluster here whose node it could have been.
    status = {"status": {"firstReady": "2026-11-02T12:00:00Z"}}
    await world.kube.patch(MACHINE, "w1", world.namespace, status, subresource="status")


def remediation(manifest: Manifest) -> dict[str, Any]:
    return dict((manifest.get("status") or {}).get("remediation") or {})


def tried(times: int) -> Callable[[Manifest], bool]:
    """Whether so much was tried, and the host is well since."""

    def check(manifest: Manifest) -> bool:
        known = remediation(manifest)
        return known.get("attempts") == times and bool(known.get("well"))

    return check


async def test_a_service_that_stops_is_started_again_and_that_is_told(
    world: World, host: FakeHost, services: Services, machine_operator: Process
) -> None:
    await served(world, host, services)
    services.put("tool", "inactive", "dead")
    made = await world.until(MACHINE, "w1", tried(1), "well again")
    assert services.ran == ["restart tool"]
    assert condition(made, "Healthy")["reason"] == "Recovered"
    assert "service tool on the host does not run" in condition(made, "Healthy")["message"]
    assert remediation(made)["history"][0]["rung"] == "Restart"


async def test_a_service_that_does_not_work_is_restarted_and_then_installed_anew(
    world: World, host: FakeHost, services: Services, machine_operator: Process
) -> None:
    patience = {"restart": "1s", "reinstall": "1m"}
    (services.units / "tool.broken").write_text("")
    await served(world, host, services, remediation={"patience": patience})
    services.put("tool", "failed", "failed")
    made = await world.until(
        MACHINE, "w1", lambda m: remediation(m).get("rung") == "Reinstall", "installed anew"
    )
    assert [one["rung"] for one in remediation(made)["history"]] == [
        "Reinstall",
        "Restart",
        "Restart",
    ]
    assert [one.get("exit") for one in remediation(made)["history"][1:]] == [1, 1]


async def test_drift_is_put_right_at_once_and_with_report_it_is_told(
    world: World, host: FakeHost, services: Services, machine_operator: Process
) -> None:
    await served(world, host, services)
    file = services.top / "tool.conf"
    # The host has been watched from the first time that all was looked at.
    await world.until(MACHINE, "w1", lambda m: (services.top / "watched-files").exists(), "watched")
    file.write_text("somebody's")
    services.tell("kok-files: Started")
    made = await world.until(
        MACHINE, "w1", lambda m: condition(m, "Drifted").get("status") == "False", "put right"
    )
    assert file.read_text() == "one"
    assert made["status"]["drift"][0]["what"] == f"file {file} has another content"

    await world.patch(MACHINE, "w1", spec={"remediation": {"mode": "Report"}})
    file.write_text("somebody's")
    services.tell("kok-files: Started")
    await world.reason(MACHINE, "w1", "DriftFound", "Drifted")
    assert file.read_text() == "somebody's"


async def test_too_many_that_fail_are_left_alone(
    world: World, host: FakeHost, services: Services, machine_operator: Process
) -> None:
    await served(world, host, services, remediation={"maxUnhealthy": 0})
    services.put("tool", "inactive", "dead")
    await world.reason(MACHINE, "w1", "RemediationHeld", "Healthy")
    assert services.ran == []
    await world.patch(MACHINE, "w1", spec={"remediation": {"maxUnhealthy": 1}})
    await world.until(MACHINE, "w1", tried(1), "well again")
    assert services.ran == ["restart tool"]


async def test_an_operator_killed_between_record_and_action_does_it_once(
    api_server: ApiServer, world: World, host: FakeHost, services: Services, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    await asyncio.to_thread(kubeconfig.write_text, api_server.kubeconfig())
    dying = OperatorProcess(world.kube, kubeconfig, world.namespace, DIES_AFTER_THE_RECORD)
    process = OperatorProcess(world.kube, kubeconfig, world.namespace)
    gate = Gate(services.top)
    await dying.start()
    try:
        await served(world, host, services)
        services.put("tool", "inactive", "dead")
        recorded = await world.until(
            MACHINE, "w1", lambda m: bool(remediation(m).get("job")), "recorded"
        )
        await dying.kill()
        assert services.ran == []
        # The next one begins it, and is killed while it goes on; the one after finds it.
        await process.start()
        await gate.reached()
        assert services.ran == ["restart tool"]
        await process.kill()
        await process.start()
        await gate.open()
        made = await world.until(MACHINE, "w1", tried(1), "well again")
    finally:
        await dying.kill()
        await process.kill()
    assert services.ran == ["restart tool"]
    assert remediation(made)["job"]["id"] == remediation(recorded)["job"]["id"]
