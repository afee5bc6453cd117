"""A stand-in for controllers, kubelet and etcd operator, and for whatever they would have run.

A Deployment is rolled out at once; that of API servers once its Cluster's stand-in for an API listens,
which is begun anew for another version. An EtcdCluster is ready as soon as it exists. Pods that try a
version say that they are of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from e2e.bench.bare.control_plane import free_port
from e2e.bench.upgrades.standins.business import BusinessAPI
from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.kube.http.paths import object_path
from kok.operators.cluster import naming
from kok.pki import Leaf, LeafSpec, Usage, issue, leaf_of, new_ca, tls_secret_data

ETCD = EtcdCluster.info.kind
HOST = "127.0.1.1"
"""The meta cluster's only address. Of loopback, but not the one where tests may listen."""
META, KUBELET = "meta-1", "kubelet"
LONG_AGO = "2026-01-01T00:00:00Z"
Key = tuple[str, str]
"""Namespace and name."""


class Controllers:
    """Looks after all namespaces."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._apis: dict[Key, BusinessAPI] = {}
        """Those that listen, by Cluster."""
        self._runs: dict[Key, str] = {}
        """The version that each was begun for."""
        self._ports: dict[Key, int] = {}
        self._leaves: dict[Key, Leaf] = {}
        self._deployments: dict[Key, Manifest] = {}
        """That of each Cluster's API servers."""
        self._locks: dict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._versions: dict[str, str] = {}
        """What pods that try something say, by their names."""
        self._etcd = new_ca("etcd", datetime.now(UTC))
        self._client = issue(self._etcd, LeafSpec("client"), datetime.now(UTC))
        self._tasks: set[asyncio.Task[None]] = set()

    async def work(self) -> None:
        """Never returns."""
        await self._nodes()
        probe = naming.LABEL_PROBE
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(kinds.DEPLOYMENT, self._deployment))
            group.create_task(self._follow(kinds.SERVICE, self._service))
            group.create_task(self._follow(kinds.SECRET, self._secret))
            group.create_task(self._follow(ETCD, self._etcd_cluster))
            group.create_task(self._follow(kinds.POD, self._pod, labels=probe))

    async def _follow(
        self,
        kind: Kind,
        heed: Callable[[Manifest], Awaitable[None]],
        labels: str = names.LABEL_CLUSTER,
    ) -> None:
        """Has each change heeded by itself: what waits for one object keeps no other one waiting."""
        async with aclosing(self._kube.watch(kind, labels=labels)) as events:
            async for event in events:
                if event.type in {"ADDED", "MODIFIED"}:
                    task = asyncio.create_task(self._heed(heed, event.object))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _heed(self, heed: Callable[[Manifest], Awaitable[None]], live: Manifest) -> None:
        with contextlib.suppress(
            KubeError
        ):  # It has changed meanwhile, of which there is an event.
            await heed(live)

    # --- Deployments, and the APIs behind them

    async def _service(self, live: Manifest) -> None:
        key = _cluster_of(live)
        port = next((p.get("nodePort") for p in live["spec"].get("ports") or ()), None)
        if port and live["metadata"]["name"] == names.api_service(key[1]):
            self._ports[key] = int(port)
            await self._serve(key)

    async def _secret(self, live: Manifest) -> None:
        key, leaf = _cluster_of(live), leaf_of(live)
        if leaf is not None and live["metadata"]["name"] == naming.serving_secret(key[1]):
            self._leaves[key] = leaf
            await self._serve(key)

    async def _deployment(self, live: Manifest) -> None:
        key = _cluster_of(live)
        if live["metadata"]["name"] == naming.deployment(key[1], naming.API_SERVER):
            self._deployments[key] = live
            await self._serve(key)
        else:
            await self._roll_out(live)

    async def _serve(self, cluster: Key) -> None:
        """Brings the API to the version of its Deployment, as soon as all that it takes is there."""
        async with self._locks[cluster]:
            live, leaf = self._deployments.get(cluster), self._leaves.get(cluster)
            if live is None or leaf is None or cluster not in self._ports:
                return
            version = str(live["spec"]["template"]["metadata"]["labels"][naming.LABEL_VERSION])
            api = self._apis.get(cluster)
            if api is None:
                api = BusinessAPI(HOST, self._ports[cluster], _context(leaf))
                await api.start()
                self._apis[cluster] = api
            elif self._runs[cluster] != version:
                await api.restart()
            self._runs[cluster] = version
        await self._roll_out(live)

    async def _roll_out(self, live: Manifest) -> None:
        count = int(live["spec"].get("replicas", 1))
        await self._tell(
            kinds.DEPLOYMENT,
            live,
            observedGeneration=live["metadata"]["generation"],
            replicas=count,
            updatedReplicas=count,
            readyReplicas=count,
            availableReplicas=count,
        )

    # --- etcd

    async def _etcd_cluster(self, live: Manifest) -> None:
        meta = live["metadata"]
        if (live.get("status") or {}).get("conditions"):
            return
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": names.etcd_client_secret(meta["name"]),
                "namespace": meta["namespace"],
            },
            "type": "kubernetes.io/tls",
            "data": tls_secret_data(self._client, self._etcd.cert_pem),
        }
        await self._kube.apply(secret)
        said = {
            "status": "True",
            "reason": "StandIn",
            "message": "",
            "lastTransitionTime": LONG_AGO,
        }
        conditions = [{"type": type_, **said} for type_ in ("Available", "Ready")]
        await self._tell(ETCD, live, conditions=conditions)

    # --- pods that try a version

    async def _pod(self, pod: Manifest) -> None:
        meta = pod["metadata"]
        name, namespace = meta["name"], meta["namespace"]
        if meta.get("deletionTimestamp"):
            await self._kube.delete(kinds.POD, name, namespace, uid=meta["uid"], grace=0)
        elif not pod["spec"].get("nodeName"):
            path = object_path(kinds.POD, namespace, name, "binding")
            target = {"apiVersion": "v1", "kind": "Node", "name": KUBELET}
            await self._kube.raw("POST", path, {"metadata": {"name": name}, "target": target})
        elif (pod.get("status") or {}).get("phase") != "Succeeded":
            self._versions[name] = meta["labels"][naming.LABEL_VERSION]
            await self._tell(kinds.POD, pod, phase="Succeeded", containerStatuses=[_ended(pod)])

    async def _log(self, request: web.Request) -> web.Response:
        version = self._versions.get(request.match_info["pod"], "")
        return web.Response(text=f"Kubernetes v{version}\n")

    async def _nodes(self) -> None:
        """One by which Clusters are reached, and one that serves logs and leads nowhere."""
        ready = [{"type": "Ready", "status": "True"}]
        await self._node(META, addresses=[_address("InternalIP", HOST)], conditions=ready)
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._log)
        serving = LeafSpec("kubelet", dns_names=["localhost"], usages=Usage.SERVER)
        runner, port = web.AppRunner(app, access_log=None), free_port()
        await runner.setup()
        context = _context(issue(self._etcd, serving, datetime.now(UTC)))
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        await self._node(
            KUBELET,
            addresses=[_address("Hostname", "localhost")],
            daemonEndpoints={"kubeletEndpoint": {"Port": port}},
        )

    async def _node(self, name: str, **status: Any) -> None:
        live = await self._kube.apply(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        )
        await self._tell(kinds.NODE, live, **status)

    async def _tell(self, kind: Kind, live: Manifest, **status: Any) -> None:
        """Writes what differs from what an object says."""
        meta, have = live["metadata"], live.get("status") or {}
        if any(have.get(key) != value for key, value in status.items()):
            patch = {"status": status}
            await self._kube.patch(
                kind, meta["name"], meta.get("namespace"), patch, subresource="status"
            )


def _cluster_of(live: Manifest) -> Key:
    meta = live["metadata"]
    return str(meta["namespace"]), str(meta["labels"][names.LABEL_CLUSTER])


def _address(type_: str, address: str) -> dict[str, str]:
    return {"type": type_, "address": address}


def _ended(pod: Manifest) -> dict[str, Any]:
    """How the only container of a pod ended, as a kubelet tells it."""
    [container] = pod["spec"]["containers"]
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": ended},
    }


def _context(leaf: Leaf) -> ssl.SSLContext:
    """Of a server. OpenSSL takes certificates from files alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(prefix="kok-standin-") as file:
        file.write(leaf.cert_pem + leaf.key_pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context
