"""The machine operator: hosts become nodes of business clusters, over SSH."""

from __future__ import annotations

import logging

from kok.kube.client import Kube
from kok.operators.machine.hosts import ComponentReconciler, HostReconciler
from kok.operators.machine.kubenodes.reconcile import KubeNodeReconciler
from kok.operators.machine.machines.reconcile import MachineReconciler
from kok.operators.machine.settings import MachineSettings
from kok.runtime.reconciler import OperatorSpec
from kok.runtime.settings import Settings


def operator(settings: Settings) -> OperatorSpec:
    """The operator with its four reconcilers."""
    del settings  # The runtime hands them to each pass.
    own = MachineSettings()
    machines = MachineReconciler(own)
    kubenodes = KubeNodeReconciler(own)

    async def start(_kube: Kube, _settings: Settings) -> None:
        # It tells of every connection and every command.
        logging.getLogger("asyncssh").setLevel(logging.WARNING)

    async def stop(_kube: Kube, _settings: Settings) -> None:
        await machines.close()
        await kubenodes.close()

    return OperatorSpec(
        name="machine",
        reconcilers=(kubenodes, machines, HostReconciler(), ComponentReconciler()),
        on_start=start,
        on_stop=stop,
    )
