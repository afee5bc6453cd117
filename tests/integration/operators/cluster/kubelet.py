"""A stand-in for scheduler and kubelet, for pods that do no more than say their version.

It binds them to a node of its own, runs their command with the real program, tells their status as a
kubelet does, and serves their logs, which the API server fetches from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import trustme
from aiohttp import web
from tests.integration.apiserver import find_binary, free_ports
from tests.integration.operators.cluster.standin import own_address

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.kube.http.paths import object_path
from kok.operators.cluster.naming import LABEL_PROBE, LABEL_PROBED, LABEL_VERSION

NODE = "probing"


class Kubelet:
    """Looks after the probes of one namespace."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.fates: dict[str, str] = {}
        """What becomes of pods of a component: `homeless`, `imageless`, `stays`, or what one says."""
        self.seen: dict[str, Manifest] = {}
        """Every pod that there ever was, by name."""
        self._kube = kube
        self._namespace = namespace
        self._logs: dict[str, str] = {}
        self._changed = asyncio.Event()

    async def pods(self) -> list[str]:
        """Names of those that are there."""
        found = await self._kube.list(kinds.POD, self._namespace, labels=LABEL_PROBE)
        return [pod["metadata"]["name"] for pod in found]

    async def work(self) -> None:
        """Never returns."""
        watch = self._kube.watch(kinds.POD, self._namespace, labels=LABEL_PROBE)
        async for event in watch:
            if event.type in {"ADDED", "MODIFIED"}:
                self.seen[event.object["metadata"]["name"]] = event.object
                with contextlib.suppress(KubeError):
                    await self._pod(event.object)

    async def again(self) -> None:
        """Looks at all pods once more, after a fate was changed."""
        for pod in await self._kube.list(kinds.POD, self._namespace, labels=LABEL_PROBE):
            await self._pod(pod)

    async def _pod(self, pod: Manifest) -> None:
        meta = pod["metadata"]
        component = meta["labels"][LABEL_PROBED]
        fate = self.fates.get(component, "")
        if meta.get("deletionTimestamp"):
            await self._kube.delete(kinds.POD, meta["name"], self._namespace, grace=0)
            return
        if fate == "homeless":
            await self._tell(pod, conditions=[_UNSCHEDULABLE])
            return
        if not pod["spec"].get("nodeName"):
            path = object_path(kinds.POD, self._namespace, meta["name"], "binding")
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            await self._kube.raw(
                "POST", path, {"metadata": {"name": meta["name"]}, "target": target}
            )
            return
        if (pod.get("status") or {}).get("phase") == "Succeeded" or fate == "stays":
            return
        if fate == "imageless":
            waiting = {"reason": "ErrImagePull", "message": "manifest unknown"}
            await self._container(pod, {"waiting": waiting}, "Pending")
            return
        self._logs[meta["name"]] = fate or await asyncio.to_thread(_run, pod)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ended = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
        await self._container(pod, {"terminated": ended}, "Succeeded")

    async def _container(self, pod: Manifest, state: dict[str, Any], phase: str) -> None:
        [container] = pod["spec"]["containers"]
        status = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "containerID": "containerd://1" if phase == "Succeeded" else "",
            "state": state,
        }
        if (pod.get("status") or {}).get("containerStatuses") != [status]:
            await self._tell(pod, phase=phase, containerStatuses=[status])

    async def _tell(self, pod: Manifest, **status: Any) -> None:
        name, have = pod["metadata"]["name"], pod.get("status") or {}
        if any(have.get(key) != value for key, value in status.items()):
            patch = {"status": status}
            await self._kube.patch(kinds.POD, name, self._namespace, patch, subresource="status")

    async def log(self, request: web.Request) -> web.Response:
        """As a kubelet answers."""
        return web.Response(text=self._logs.get(request.match_info["pod"], ""))


_UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient memory.",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


def _run(pod: Manifest) -> str:
    component = pod["metadata"]["labels"][LABEL_PROBED]
    version = f"v{pod['metadata']['labels'][LABEL_VERSION]}"
    program = find_binary(component, version, f"KOK_TEST_{component}")
    [container] = pod["spec"]["containers"]
    command = [program, *container["command"][1:]]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@asynccontextmanager
async def kubelet(kube: Kube, namespace: str) -> AsyncIterator[Kubelet]:
    """At work."""
    one, [port] = Kubelet(kube, namespace), free_ports(1)
    app = web.Application()
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", one.log)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(own_address()).configure_cert(context)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, own_address(), port, ssl_context=context).start()
    await _node(kube, port)
    task = asyncio.create_task(one.work())
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()


async def _node(kube: Kube, port: int) -> None:
    """Not Ready, so that nobody takes it for a meta node that leads to anything."""
    await kube.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    status = {
        "addresses": [{"type": "InternalIP", "address": own_address()}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "conditions": [{"type": "Ready", "status": "False"}],
    }
    await kube.patch(kinds.NODE, NODE, None, {"status": status}, subresource="status")
