"""Simulated hosts of the benchmark: they answer the operator's own scripts as hosts do."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from e2e.bench.machine import recovery
from e2e.bench.machine.simulated.answers import SimulatedHost
from tests.unit.operators.machine import builders

from kok.operators.machine.component import component_jobs
from kok.operators.machine.component.render import Rendered, rendered
from kok.operators.machine.remote import jobs, preflight, survey
from kok.operators.machine.remote.preflight import PreflightInput
from kok.operators.machine.remote.ssh.script import Exchange
from kok.operators.machine.remote.survey import Found, Owner, Survey

OWNER = Owner("uid-1", "team-a/w1", "team-a/shop", "meta")


def asked(host: SimulatedHost, script: str) -> list[str]:
    """The lines of an answer, as the operator gets them."""
    exchange = Exchange(script, "root", None)
    output, _ = host.answer(exchange._text)
    first, *lines = output.splitlines()
    assert first == exchange._marker
    return lines


def seen(host: SimulatedHost) -> Survey:
    text = survey.script([survey.Question("tool", "tool --version", ())], ["https://x.example/"])
    return survey.parse("\n".join(asked(host, text)), datetime.now(UTC))


def tool() -> Rendered:
    return rendered(builders.component("tool"), builders.machine(), {}, Survey(datetime.now(UTC)))


def test_a_simulated_host_is_fit_and_keeps_what_is_installed() -> None:
    host = SimulatedHost("127.1.0.1")
    found = preflight.findings(PreflightInput(seen(host), {"kubelet": {}}, {}, True, False))
    assert found == []
    wanted = tool()
    assert not wanted.right(seen(host).found.get("tool", Found()))
    plan = component_jobs.component_job("uid-1", wanted, Found(), 1, base_url="", after={})
    told = [jobs.parse_line(line) for line in asked(host, jobs.start_script([plan], OWNER))]
    assert [(one.id, one.exit) for one in told if one is not None] == [(plan.id, 0)]
    assert wanted.right(seen(host).found["tool"])
    assert seen(host).owner == OWNER
    gone = jobs.uninstall_job("uid-1", "tool", 1)
    asked(host, jobs.start_script([gone], OWNER))
    assert seen(host).found == {}


def test_what_it_does_not_know_it_does_not_pretend_to_have_done() -> None:
    with pytest.raises(ValueError, match="no simulated host knows"):
        asked(SimulatedHost("127.1.0.1"), "rm -rf /tmp/x")


@pytest.mark.parametrize("runtime", recovery.NODES)
def test_no_service_fails_twice_in_a_row(runtime: str) -> None:
    """What was tried of it would be remembered, and more patience follow, which is not measured here."""
    services = [fault.service for fault in recovery.faults_of(runtime) * 2]
    assert all(one != other for one, other in pairwise(services))
    assert {fault.name.split()[1] for fault in recovery.faults_of(runtime)} == {*recovery.BEFALLS}


@pytest.mark.parametrize(
    ("status", "said", "ready"),
    [
        ("True", "2026-11-02T12:00:30Z", True),
        ("True", "2026-11-02T12:00:00Z", False),
        ("Unknown", "2026-11-02T12:00:30Z", False),
        ("True", None, False),
    ],
)
def test_what_a_node_said_before_its_reboot_proves_nothing(
    status: str, said: str | None, *, ready: bool
) -> None:
    told = {"type": "Ready", "status": status, "lastHeartbeatTime": said}
    node = {"status": {"conditions": [told]}}
    assert recovery.ready_since(datetime(2026, 11, 2, 12, 0, 0, 5, UTC))(node) is ready
