"""A tenant puts a server of his own in the place of his API servers.

Who may write in a namespace can do that: the key of the API servers' certificate lies there, and
their Service sends requests to whatever pod has the right labels. Operators verify the CA that they
have recorded, and find it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from e2e.bench.usage import usage
from e2e.framework.environment import Environment
from e2e.framework.follow import has
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.framework.processes import ready_throughout
from e2e.hostile import CLUSTER, LONG, MACHINE, NAMESPACE, SHOP, VICTIM
from kok.api import Machine
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.objects.quantity import parse_quantity
from kok.operators.cluster.naming import API_SERVER, pod_labels, serving_secret

NAMES = tuple(f"impostor-{number}" for number in range(3))
PROGRAM = Path(__file__).with_name("bombs.py")
HOLD = 20.0
"""Seconds for which a true API server lives: operators ask only where there is one."""
LOOK_EVERY = 1.0
"""Seconds between two looks at memory, of which nobody tells."""
CONFIG = "impostor"
TOO_LARGE = "AnswerTooLarge"


async def own_api_server(w: Environment) -> None:
    """Answers without an end and compressed ones are told on the tenant's objects alone."""
    limit, memory = await _memory_limit(w), _Memory(w)
    with w.report.step("an API server that answers with bombs", "bombs_s"):
        async with ready_throughout(w, VICTIM), _meanwhile(memory.look()):
            async with _impostor(w):
                told = has("AnswersRead", "False", TOO_LARGE)
                await w.until(CLUSTER, NAMESPACE, SHOP, told, LONG)
                told = has("NodeReady", "Unknown", TOO_LARGE)
                await w.until(Machine.info.kind, NAMESPACE, MACHINE, told, LONG)
            await w.until(CLUSTER, NAMESPACE, SHOP, has("AnswersRead"), LONG)
            await w.until(CLUSTER, NAMESPACE, SHOP, has("Ready"), LONG)
            await w.until(Machine.info.kind, NAMESPACE, MACHINE, has("Ready"), LONG)
    w.report.figures["bombs_memory_mib"] = memory.most // 2**20
    if memory.most >= limit:
        raise AssertionError(f"an operator takes {memory.most} of {limit} bytes")


@asynccontextmanager
async def _impostor(w: Environment) -> AsyncIterator[None]:
    """While it lasts most requests to the API servers of the Cluster are answered by others."""
    program = {"bombs.py": PROGRAM.read_text(encoding="utf-8")}
    meta, image = {"name": CONFIG, "namespace": NAMESPACE}, await w.lab.operator_image()
    await w.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": program})
    await w.apply(*(_pod(name, image) for name in NAMES))
    try:
        for name in NAMES:
            await w.until(kinds.POD, NAMESPACE, name, has("Ready"), LONG)
        async with _meanwhile(_unsettle(w)):
            yield
    finally:
        for name in NAMES:
            await w.kube.delete(kinds.POD, name, NAMESPACE, grace=0)
            await w.gone(kinds.POD, NAMESPACE, name, LONG)


def _pod(name: str, image: str) -> Manifest:
    files = {"tls": {"secret": {"secretName": serving_secret(SHOP)}}}
    files["program"] = {"configMap": {"name": CONFIG}}
    container = {
        "name": "server",
        "image": image,
        "command": ["python3", "/program/bombs.py", "/tls/tls.crt", "/tls/tls.key", "kok-"],
        "volumeMounts": [{"name": one, "mountPath": f"/{one}"} for one in files],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": pod_labels(SHOP, API_SERVER),
        },
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": one, **source} for one, source in files.items()],
        },
    }


async def _unsettle(w: Environment) -> None:
    """No true API server keeps its connections for long; while there is none all lead to others."""
    labels = pod_labels(SHOP, API_SERVER)
    ready = has("Ready")
    async for event in w.kube.watch(kinds.POD, NAMESPACE, labels=labels):
        meta = event.object.get("metadata") or {}
        if event.type == "SYNCED" or meta["name"] in NAMES or "deletionTimestamp" in meta:
            continue
        if event.type != "DELETED" and ready(event.object):
            await w.kube.delete(kinds.POD, meta["name"], NAMESPACE, uid=meta["uid"])
            await asyncio.sleep(HOLD)


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Something that is done all the while, without an end."""
    task = asyncio.create_task(work)
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Memory:
    """The most that any operator had."""

    def __init__(self, w: Environment) -> None:
        self.most = 0
        self._w = w

    async def look(self) -> None:
        """Looks all the time."""
        while True:
            found = await usage(self._w.kube, lambda namespace, _pod: namespace == OPERATORS)
            self.most = max([self.most, *(one.rss for one in found)])
            await asyncio.sleep(LOOK_EVERY)


async def _memory_limit(w: Environment) -> int:
    """Bytes that an operator may take: the least of all."""
    made = await w.kube.list(kinds.DEPLOYMENT, OPERATORS)
    limits = [
        container["resources"]["limits"]["memory"]
        for deployment in made
        for container in deployment["spec"]["template"]["spec"]["containers"]
    ]
    return int(min(map(parse_quantity, limits)))
