"""A stand-in for scheduler and kubelet, for pods that do no more than say their version.

It binds them to a node of its own, tells their status as a kubelet does, and serves their logs, which
the API server fetches from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime
from typing import Any

import trustme
from aiohttp import web
from tests.integration.apiserver import free_ports

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.kube.http.paths import object_path
from kok.operators.cluster.naming import LABEL_PROBE, LABEL_PROBED, LABEL_VERSION


class Kubelet:
    """Looks after the probes of some namespaces."""

    def __init__(self, kube: Kube) -> None:
        self.fates: dict[str, str] = {}
        """What becomes of pods of a component: `homeless`, `imageless`, `stays`, or what one says."""
        self.seen: dict[str, Manifest] = {}
        """Every pod that there ever was, by name."""
        self._kube = kube
        self._logs: dict[str, str] = {}
        self._runner: web.AppRunner | None = None
        self._beginning = asyncio.Lock()
        self._node = ""

    async def pods(self, namespace: str) -> list[str]:
        """Names of those that are there."""
        found = await self._kube.list(kinds.POD, namespace, labels=LABEL_PROBE)
        return [pod["metadata"]["name"] for pod in found]

    async def work(self, namespace: str) -> None:
        """Never returns."""
        async for event in self._kube.watch(kinds.POD, namespace, labels=LABEL_PROBE):
            if event.type in {"ADDED", "MODIFIED"}:
                self.seen[event.object["metadata"]["name"]] = event.object
                with contextlib.suppress(KubeError):
                    await self._pod(event.object)

    async def close(self) -> None:
        """Nothing is answered any more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _pod(self, pod: Manifest) -> None:
        meta = pod["metadata"]
        name, namespace = meta["name"], meta["namespace"]
        fate = self.fates.get(meta["labels"][LABEL_PROBED], "")
        if meta.get("deletionTimestamp"):
            await self._kube.delete(kinds.POD, name, namespace, grace=0)
        elif fate == "homeless":
            await self._tell(pod, conditions=[_UNSCHEDULABLE])
        elif not pod["spec"].get("nodeName"):
            await self._begin()
            path = object_path(kinds.POD, namespace, name, "binding")
            target = {"apiVersion": "v1", "kind": "Node", "name": self._node}
            await self._kube.raw("POST", path, {"metadata": {"name": name}, "target": target})
        elif fate == "imageless":
            waiting = {"reason": "ErrImagePull", "message": "manifest unknown"}
            await self._container(pod, {"waiting": waiting}, "Pending")
        elif (pod.get("status") or {}).get("phase") != "Succeeded" and fate != "stays":
            self._logs[name] = fate or f"Kubernetes v{meta['labels'][LABEL_VERSION]}\n"
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
            "state": state,
        }
        have = (pod.get("status") or {}).get("containerStatuses") or [{}]
        if have[0].get("state") != state:
            await self._tell(pod, phase=phase, containerStatuses=[status])

    async def _tell(self, pod: Manifest, **status: Any) -> None:
        meta, have = pod["metadata"], pod.get("status") or {}
        if any(have.get(key) != value for key, value in status.items()):
            patch = {"status": status}
            await self._kube.patch(
                kinds.POD, meta["name"], meta["namespace"], patch, subresource="status"
            )

    async def _begin(self) -> None:
        """As soon as there is a pod: few tests have any."""
        async with self._beginning:
            if self._runner is not None:
                return
            [port] = free_ports(1)
            app = web.Application()
            app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._log)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trustme.CA().issue_cert("localhost").configure_cert(context)
            self._runner = web.AppRunner(app)
            await self._runner.setup()
            await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=context).start()
            self._node = f"kubelet-{port}"
            made = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._node}}
            await self._kube.apply(made)
            # By a name that is no address: nobody takes it for a meta node that leads anywhere.
            status = {
                "addresses": [{"type": "Hostname", "address": "localhost"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            }
            patch = {"status": status}
            await self._kube.patch(kinds.NODE, self._node, None, patch, subresource="status")

    async def _log(self, request: web.Request) -> web.Response:
        return web.Response(text=self._logs.get(request.match_info["pod"], ""))


_UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient memory.",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
