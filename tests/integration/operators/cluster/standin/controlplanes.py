"""The control planes of some namespaces, each component as a process on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
from tests.ending import ended
from tests.integration.apiserver import find_binary, free_ports
from tests.integration.operators.cluster.standin.etcdoperator import (
    BACKUP,
    ETCD,
    keep_backup,
    keep_etcd,
)
from tests.integration.operators.cluster.standin.kubelet import Kubelet
from tests.integration.operators.cluster.standin.podfiles import bring_files
from tests.integration.operators.cluster.standin.processes import Etcd, Running, own_address
from tests.integration.operators.cluster.standin.tunnelservers import TunnelServers, tunnel_servers

from kok.api import names
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError, NotFound
from kok.operators.cluster.naming import API_SERVER, LABEL_VERSION

BUILT = {"1.37": "1.37.1"}
"""The patch level that stands for all of a minor."""
ROUND = 0.1
RESTARTS = 5
"""How often a process is started again: some end themselves where the machine is too slow."""
_DROPPED = ("etcd-cafile", "etcd-certfile", "etcd-keyfile", "etcd-servers", "secure-port")


class StandIn:
    """Looks after some namespaces until it is left."""

    def __init__(self, kube: Kube, *namespaces: str, controllers: bool = False) -> None:
        """`controllers`: run controller managers and schedulers, too, which else count as ready."""
        self.kube = kube
        self.namespaces = namespaces
        self.controllers = controllers
        self.etcd_ready = True
        self.backs_up = True
        """Whether EtcdBackups are made."""
        self.serve = True
        """Whether API servers are run; otherwise they stay unready."""
        self.root = Path(tempfile.mkdtemp(prefix="kok-standin-"))
        self.started: list[tuple[str, str]] = []
        """Deployment and version of every process, in the order in which they were started."""
        self.kubelet = Kubelet(kube)
        """For pods that an upgrade makes to try something; others there are none."""
        self._etcd = Etcd(self.root, free_ports(1)[0])
        self._running: dict[tuple[str, str], Running] = {}
        self._tunnels: dict[tuple[str, str], TunnelServers] = {}
        self._changed = asyncio.Event()
        self._secrets_changed = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> StandIn:
        """Begins."""
        self._etcd.start()
        for namespace in self.namespaces:
            for kind in (kinds.DEPLOYMENT, kinds.SECRET, ETCD, BACKUP):
                self._tasks.append(asyncio.create_task(self._listen(kind, namespace)))
            self._tasks.append(asyncio.create_task(self.kubelet.work(namespace)))
        self._tasks.append(asyncio.create_task(self._work()))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends all processes and removes all files."""
        errors = await ended(self._tasks)
        for key in list(self._running):
            self._end(key)
        self._etcd.process.kill()
        self._etcd.process.wait()
        await self.kubelet.close()
        shutil.rmtree(self.root, ignore_errors=True)
        for failure in errors:
            if isinstance(failure, Exception):
                raise failure

    def freeze(self, deployment: str) -> None:
        """The process accepts connections and never answers."""
        next(r for (_, n), r in self._running.items() if n == deployment).freeze()

    def log(self, deployment: str) -> str:
        """What the process of a Deployment said."""
        found = next(r for (_, name), r in self._running.items() if name == deployment)
        return found.log.read_text(errors="replace")

    def tunnel(self, deployment: str) -> TunnelServers:
        """The servers beside a Deployment of API servers."""
        return next(servers for (_, name), servers in self._tunnels.items() if name == deployment)

    async def _listen(self, kind: Kind, namespace: str) -> None:
        async for _ in self.kube.watch(kind, namespace):
            self._secrets_changed |= kind == kinds.SECRET
            self._changed.set()

    async def _work(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUND):
                    await self._changed.wait()
            self._changed.clear()
            renewed, self._secrets_changed = self._secrets_changed, False
            for namespace in self.namespaces:
                try:
                    await self._round(namespace, renewed=renewed)
                except KubeError:  # changed under our hands: again soon
                    self._secrets_changed |= renewed

    async def _round(self, namespace: str, *, renewed: bool) -> None:
        for etcd in await self.kube.list(ETCD, namespace):
            await keep_etcd(self.kube, etcd, ready=self.etcd_ready)
        for backup in await self.kube.list(BACKUP, namespace) if self.backs_up else ():
            await keep_backup(self.kube, backup)
        found = {
            m["metadata"]["name"]: m for m in await self.kube.list(kinds.DEPLOYMENT, namespace)
        }
        for key in [k for k in self._running if k[0] == namespace and k[1] not in found]:
            self._end(key)
        for live in found.values():
            await self._deployment(live)
            if renewed and (namespace, live["metadata"]["name"]) in self._running:
                # As kubelet does for pods that run.
                pod = live["spec"]["template"]["spec"]
                await bring_files(self.kube, pod, namespace, self._home(live))

    async def _deployment(self, live: Manifest) -> None:
        meta = live["metadata"]
        component = meta["labels"][names.LABEL_COMPONENT]
        key = (meta["namespace"], meta["name"])
        running = self._running.get(key)
        if running is not None and running.template != live["spec"]["template"]:
            self._end(key)
            running = None
        replicas = live["spec"].get("replicas", 1)
        if running is not None and key in self._tunnels and replicas:
            self._tunnels[key].scale(replicas)
        if replicas == 0:
            if running is not None:
                self._end(key)
            await self._report(live, ready=True)
        elif component == API_SERVER or self.controllers:
            if component == API_SERVER and not self.serve:
                await self._report(live, ready=False)
                return
            if running is None:
                running = await self._start(live, component)
            ready = running is not None and await self._probe(key, running)
            await self._report(live, ready=ready)
        else:
            await self._report(live, ready=True)

    async def _start(self, live: Manifest, component: str) -> Running | None:
        meta = live["metadata"]
        pod = live["spec"]["template"]["spec"]
        container = pod["containers"][0]
        directory = self._home(live)
        port = await self._port(live, component)
        if port is None or not await bring_files(self.kube, pod, meta["namespace"], directory):
            return None
        version = str(live["spec"]["template"]["metadata"]["labels"][LABEL_VERSION])
        built = f"v{BUILT.get(version.rpartition('.')[0], version)}"
        program = find_binary(component, built, f"KOK_TEST_{component}")
        mount = container["volumeMounts"][0]["mountPath"]
        arguments = [
            word.replace(mount, str(directory))
            for word in container["command"][1:]
            if word.removeprefix("--").partition("=")[0] not in _DROPPED
        ]
        arguments += [f"--secure-port={port}"]
        if component == API_SERVER:
            arguments += [
                f"--etcd-servers=http://127.0.0.1:{self._etcd.port}",
                f"--etcd-prefix=/{meta['uid']}",
                f"--bind-address={own_address()}",
                "--shutdown-delay-duration=0s",
            ]
        key = (meta["namespace"], meta["name"])
        if pod.get("initContainers"):
            servers = await tunnel_servers(self.kube, live, directory)
            if servers is None:
                return None
            self._tunnels[key] = servers
            servers.scale(int(live["spec"].get("replicas", 1)))
        log = directory.with_suffix(".log")
        path = container["readinessProbe"]["httpGet"]["path"]
        template = live["spec"]["template"]
        running = self._running[key] = Running(template, [program, *arguments], log, port, path)
        self.started.append((meta["name"], version))
        return running

    async def _port(self, live: Manifest, component: str) -> int | None:
        if component != API_SERVER:
            return free_ports(1)[0]
        cluster = live["metadata"]["labels"][names.LABEL_CLUSTER]
        service = await self.kube.get(
            kinds.SERVICE, names.api_service(cluster), live["metadata"]["namespace"]
        )
        return None if service is None else int(service["spec"]["ports"][0]["nodePort"])

    def _home(self, live: Manifest) -> Path:
        """Where the files of a Deployment's process lie."""
        return self.root / str(live["metadata"]["uid"])

    async def _probe(self, key: tuple[str, str], running: Running) -> bool:
        if running.process.poll() is not None:
            if running.restarts < RESTARTS:
                running.restart()
                return False
            said = "\n".join(running.log.read_text(errors="replace").splitlines()[-20:])
            raise AssertionError(f"{key[1]} ended with {running.process.returncode}:\n{said}")
        if running.ready:
            return True
        host = own_address() if "readyz" in running.path and "apiserver" in key[1] else "127.0.0.1"
        url = f"https://{host}:{running.port}{running.path}"
        limit = aiohttp.ClientTimeout(total=2)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.get(url, ssl=False) as answer,
            ):
                running.ready = answer.status == 200
        return running.ready

    async def _report(self, live: Manifest, *, ready: bool) -> None:
        meta, desired = live["metadata"], int(live["spec"].get("replicas", 1))
        count = desired if ready else 0
        status: dict[str, Any] = {
            "observedGeneration": meta["generation"],
            "replicas": desired,
            "updatedReplicas": desired,
            "readyReplicas": count,
            "availableReplicas": count,
        }
        have = live.get("status") or {}
        if any(have.get(name, 0) != value for name, value in status.items()):
            with contextlib.suppress(NotFound):
                await self.kube.patch(
                    kinds.DEPLOYMENT,
                    meta["name"],
                    meta["namespace"],
                    {"status": status},
                    subresource="status",
                )

    def _end(self, key: tuple[str, str]) -> None:
        self._running.pop(key).kill()
        if (servers := self._tunnels.pop(key, None)) is not None:
            servers.kill()
