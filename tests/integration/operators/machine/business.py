"""A business cluster whose API server is that of the meta cluster."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import structlog

from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.http.access import from_kubeconfig
from kok.operators.machine.node.cluster_connections import ClusterConnection, ConnectionSpec
from kok.runtime.clock import SystemClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings

LIMIT = 180.0
"""Seconds after which what a test waits for counts as not happening."""
KEY = ("team-a", "shop")


def to(kubeconfig: str) -> ConnectionSpec:
    """To the API server of a kubeconfig, as whoever it stands for."""
    digest = hashlib.sha256(kubeconfig.encode()).hexdigest()
    return ConnectionSpec(from_kubeconfig(kubeconfig), digest)


def a_pass(kube: Kube, machine: Machine) -> Pass[Machine]:
    clock = SystemClock()
    return Pass(
        obj=machine,
        status=machine.status.model_copy(deep=True),
        kube=kube,
        clock=clock,
        now=clock.now(),
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )


async def node(kube: Kube, name: str, **spec: Any) -> Manifest:
    made = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}
    return await kube.create(made)


async def told(changed: asyncio.Event, check: Callable[[], object]) -> None:
    """Returns once something was told of, and is as asked for."""
    async with asyncio.timeout(LIMIT):
        while True:
            await changed.wait()
            changed.clear()
            if check():
                return


async def seen(
    connection: ClusterConnection, name: str, check: Callable[[], object], asker: str | None = None
) -> None:
    """Waits until what the watches of a node brought is as asked for."""
    changed = asyncio.Event()
    changed.set()
    connection.on_node(name, "test", changed.set)
    if asker is not None:
        connection.on_asker(asker, "test", changed.set)
    await told(changed, check)
