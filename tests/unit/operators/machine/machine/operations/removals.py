"""Machines that are being removed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.views import CONNECTED, NODE, machine_view, observed

from kok.api.machine.machine import Machine
from kok.kube.client import Kube
from kok.operators.machine import reasons
from kok.operators.machine.host.abandoned_hosts import Abandoned
from kok.operators.machine.machine.delete import Removal
from kok.operators.machine.node.cluster_connections import ConnectionState
from kok.operators.machine.remote.session import Session
from kok.operators.machine.settings import MachineSettings
from kok.runtime.clock import FakeClock
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings

JOINED = {
    "type": "Joined",
    "status": "True",
    "reason": "Joined",
    "lastTransitionTime": "2026-11-02T11:00:00Z",
}


SILENT = replace(CONNECTED, answers=False, nodes_known=False)
"""A business cluster that does not answer."""


def removal(
    connection: ConnectionState | None,
    removed_for: float,
    *,
    kube: Kube | None = None,
    session: Session | None = None,
    abandoned: Abandoned | None = None,
    machine: Machine | None = None,
    client: Any = None,
    business: Any = None,
    **changes: Any,
) -> tuple[Removal, Pass[Machine]]:
    """The removal of a Machine that joined and whose host, by default, needs nothing any more.

    `business` is the API of its business cluster, where that is asked for anything.
    """
    began = (NOW - timedelta(seconds=removed_for)).isoformat()
    machine = machine or builders.machine(
        metadata={"deletionTimestamp": began},
        status={"conditions": [JOINED], "drainSince": began},
    )
    session = session or Session(lambda: 0.0)
    p = Pass(
        obj=machine,
        status=machine.status.model_copy(deep=True),
        kube=kube,  # type: ignore[arg-type] # None: the meta cluster is not asked
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )
    around = observed(**{"connection": connection, "node": NODE, **changes})
    given = machine_view(machine, memory=session.memory, objects=around)
    listed = abandoned or Abandoned()
    live: Any = SimpleNamespace(kube=business, answers=connection and connection.answers)
    settings = MachineSettings()
    return Removal(p, given, session, client, live, settings=settings, abandoned=listed), p


def installed(cleaning_for: float | None, **meta: Any) -> Machine:
    """A Machine of a pool, with software on its host, that is being deleted."""
    status: dict[str, Any] = {
        "components": [{"name": "kubelet", "config": "1", "found": "1.37.1"}],
        "drainSince": (NOW - timedelta(hours=2)).isoformat(),
    }
    if cleaning_for is not None:
        status["cleanSince"] = (NOW - timedelta(seconds=cleaning_for)).isoformat()
    metadata = {
        "deletionTimestamp": (NOW - timedelta(hours=2)).isoformat(),
        "labels": {"kok.dev/host": "w1", "kok.dev/kubenode": "shop-workers"},
        **meta,
    }
    return builders.machine(metadata=metadata, status=status)


HOST = "/apis/kok.dev/v1alpha1/namespaces/team-a/hosts/w1"
LIST = "/api/v1/namespaces/kok-system/configmaps/kok-abandoned-hosts"
GONE = Verdict(False, reasons.SECRET_MISSING, "Secret team-a/ops-ssh is gone")


def pool(api: FakeApi) -> None:
    spec = {"address": "192.0.2.21", "ssh": {"user": "ops", "secret": "ops-ssh"}}
    meta = {"name": "w1", "namespace": "team-a"}
    api.put(HOST, {"metadata": meta, "spec": spec, "status": {}})
    api.put(LIST, {"metadata": {"name": "kok-abandoned-hosts", "namespace": "kok-system"}})
