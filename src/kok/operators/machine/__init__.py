"""The machine operator: hosts become nodes of business clusters, over SSH."""

from __future__ import annotations

import asyncio
import logging

from kok.kube.client import Kube
from kok.operators.machine.component.reconcile import ComponentReconciler
from kok.operators.machine.component.sandboxed import Checker
from kok.operators.machine.host.abandoned_hosts import Abandoned
from kok.operators.machine.host.cleanup import Cleaner
from kok.operators.machine.host.reconcile import HostReconciler
from kok.operators.machine.kubenode.reconcile import KubeNodeReconciler
from kok.operators.machine.machine.reconcile import MachineReconciler
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.settings import MachineSettings
from kok.runtime.clock import SystemClock
from kok.runtime.controller.reconciler import OperatorSpec
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.settings import Settings


def operator(settings: Settings) -> OperatorSpec:
    """The operator with its four reconcilers."""
    del settings  # The runtime hands them to each pass.
    own, abandoned, sandboxes = MachineSettings(), Abandoned(), SandboxPool()
    lists = MachineLists(SystemClock().monotonic)
    machines = MachineReconciler(own, sandboxes, lists, abandoned=abandoned)
    kubenodes = KubeNodeReconciler(own, lists, abandoned, machines.observer.connection)
    cleaner = Cleaner(machines.hosts, abandoned, machines.keeper)
    following: list[asyncio.Task[None]] = []

    async def start(kube: Kube, settings: Settings) -> None:
        # It tells of every connection and every command.
        logging.getLogger("asyncssh").setLevel(logging.WARNING)
        await abandoned.load(kube, settings.lease_namespace)
        follow = abandoned.follow(kube, settings.lease_namespace)
        following.append(asyncio.create_task(follow, name="abandoned hosts"))

    async def stop(_kube: Kube, _settings: Settings) -> None:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        await machines.close()
        await kubenodes.close()

    return OperatorSpec(
        name="machine",
        reconcilers=(
            kubenodes,
            machines,
            HostReconciler(cleaner, own),
            ComponentReconciler(Checker(sandboxes)),
        ),
        on_start=start,
        on_stop=stop,
    )
