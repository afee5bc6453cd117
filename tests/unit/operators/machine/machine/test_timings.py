"""The operator's settings are the timings that count."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.views import observed

from kok.operators.machine.machine.reconcile import MachineReconciler
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.remote.ssh import HostSilent
from kok.operators.machine.settings import MachineSettings
from kok.runtime.clock import FakeClock
from kok.runtime.sandbox.pool import SandboxPool
from kok.workload.availability import AvailabilityTimings


def reconciler(**settings: Any) -> MachineReconciler:
    return MachineReconciler(
        MachineSettings(**settings), SandboxPool(), MachineLists(lambda: 0.0), FakeClock()
    )


def test_how_long_a_host_is_left_alone_after_errors() -> None:
    session = reconciler(host_backoff_min=3.0, host_backoff_max=5.0).hosts.sessions.of("uid")
    waits = []
    for _ in range(4):
        session.memory.lost(HostSilent("the connection was closed"), 0.0)
        waits.append(session.wait())
    assert waits == [0.0, 5.0, 5.0, 5.0]
    session = reconciler(host_backoff_min=7.0).hosts.sessions.of("uid")
    session._failed(HostSilent("the connection was closed"))
    assert session.wait() == 7.0


def test_how_soon_a_host_is_looked_at_again() -> None:
    made = reconciler(host_recheck=7.0, survey_every=70.0)
    machine = builders.machine()
    p = cast("Any", SimpleNamespace(obj=machine, status=machine.status, now=builders.NOW))
    view = made._view(p, made.hosts.sessions.of("uid"), observed())
    assert (view.recheck, view.survey_every) == (7.0, 70.0)


def test_when_an_api_counts_as_silent_and_how_often_it_is_asked() -> None:
    made = reconciler(business_silence=1.0, business_ask_min=2.0, business_ask_max=3.0)
    assert made.clusters._timings == AvailabilityTimings(silence=1.0, ask_min=2.0, ask_max=3.0)
    # Unless somebody says otherwise, they are what the parts take for right.
    assert reconciler().clusters._timings == AvailabilityTimings()
