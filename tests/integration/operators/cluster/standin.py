"""A stand-in for what the bare API server of these tests lacks: controllers, kubelet, etcd operator.

It runs the command of each Deployment of a control plane as a process on this machine, with the
real arguments and with its Secrets as files, on a real etcd; it reports readiness as a Deployment
does. For EtcdClusters it makes the client's Secret and says that they are ready.

A tunnel's server runs beside its API server, on the node port of its Service.

What differs from a cluster: etcd is one for all, without TLS, each cluster under a prefix of its
own; the internal name of a Service is replaced by the public address; one process stands for all
replicas; and a rollout ends the old process before the new one starts.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from tests.integration.apiserver import TIED, find_binary, free_ports
from tests.integration.operators.cluster.kubelet import Kubelet

from kok.api import names
from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError, NotFound
from kok.operators.cluster.cluster.pki.credentials import CLIENT_FILES
from kok.operators.cluster.naming import API_SERVER, EGRESS_CONFIG, LABEL_VERSION, konnectivity
from kok.operators.cluster.tunnel import FILES, SOCKETS
from kok.pki import LeafSpec, issue, new_ca, tls_secret_data

ETCD, BACKUP = EtcdCluster.info.kind, EtcdBackup.info.kind
BUILT = {"1.37": "1.37.1"}
"""The patch level that stands for all of a minor."""
KONNECTIVITY_VERSION = "v0.34.0"
ROUND = 0.1
RESTARTS = 5
"""How often a process is started again: some end themselves where the machine is too slow."""
_DROPPED = ("etcd-cafile", "etcd-certfile", "etcd-keyfile", "etcd-servers", "secure-port")


def own_address() -> str:
    """An address of this machine that is not loopback, which endpoints must not be."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # Sends nothing: only a route is looked up.
        return str(probe.getsockname()[0])


@dataclass
class Running:
    """The process of one Deployment."""

    generation: int
    argv: list[str]
    log: Path
    port: int
    path: str
    ready: bool = False
    restarts: int = 0
    sidecar: subprocess.Popen[bytes] | None = None
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Starts it."""
        self.process = _spawn(self.argv, self.log)

    def kill(self) -> None:
        """Ends it, and what is beside it."""
        for one in (self.process, self.sidecar):
            if one is not None:
                one.kill()
                one.wait()

    def restart(self) -> None:
        """As kubelet does when a process has ended."""
        self.ready = False
        self.restarts += 1
        self.process = _spawn(self.argv, self.log)


@dataclass
class Etcd:
    """The etcd behind all clusters of one test."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Starts it, without waiting."""
        client, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{free_ports(1)[0]}"
        self.process = _spawn(
            [
                find_binary("etcd", "v3.6.10", "KOK_TEST_ETCD"),
                f"--data-dir={self.directory / 'etcd'}",
                "--unsafe-no-fsync=true",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--log-level=error",
            ],
            self.directory / "etcd.log",
        )


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
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for running in self._running.values():
            running.kill()
        self._etcd.process.kill()
        self._etcd.process.wait()
        await self.kubelet.close()
        shutil.rmtree(self.root, ignore_errors=True)
        for failure in ended:
            if isinstance(failure, Exception):
                raise failure

    def freeze(self, deployment: str) -> None:
        """The process accepts connections and never answers."""
        next(r for (_, n), r in self._running.items() if n == deployment).process.send_signal(19)

    def log(self, deployment: str) -> str:
        """What the process of a Deployment said."""
        found = next(r for (_, name), r in self._running.items() if name == deployment)
        return found.log.read_text(errors="replace")

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
            await self._etcd_cluster(etcd)
        for backup in await self.kube.list(BACKUP, namespace):
            await self._backup(backup)
        found = {
            m["metadata"]["name"]: m for m in await self.kube.list(kinds.DEPLOYMENT, namespace)
        }
        for key in [k for k in self._running if k[0] == namespace and k[1] not in found]:
            self._end(key)
        for live in found.values():
            await self._deployment(live)
            if renewed and (namespace, live["metadata"]["name"]) in self._running:
                # As kubelet does for pods that run.
                await self._bring_files(
                    live["spec"]["template"]["spec"], namespace, self._home(live)
                )

    async def _etcd_cluster(self, live: Manifest) -> None:
        meta = live["metadata"]
        name = names.etcd_client_secret(meta["name"])
        if await self.kube.get(kinds.SECRET, name, meta["namespace"]) is None:
            ca = new_ca("etcd", datetime.now(UTC))
            leaf = issue(ca, LeafSpec("client"), datetime.now(UTC))
            secret = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": meta["namespace"]},
                "type": "kubernetes.io/tls",
                "data": tls_secret_data(leaf, ca.cert_pem),
            }
            await self.kube.apply(secret)
        asleep = bool(live["spec"].get("hibernate"))
        conditions = [
            {
                "type": type_,
                "status": str(self.etcd_ready and not asleep),
                "reason": "Hibernated" if asleep else "StandIn",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for type_ in ("Available", "Ready")
        ]
        if (live.get("status") or {}).get("conditions") != conditions:
            slept = bool((live.get("status") or {}).get("hibernation"))
            step = "Asleep" if asleep else "Waking" if slept and not self.etcd_ready else None
            sleep = {"step": step, "since": "2026-01-01T00:00:00Z"} if step else None
            patch = {"status": {"conditions": conditions, "hibernation": sleep}}
            await self.kube.patch(
                ETCD, meta["name"], meta["namespace"], patch, subresource="status"
            )

    async def _backup(self, live: Manifest) -> None:
        """Stored and proven, once it may be."""
        if self.backs_up and "provenAt" not in (live.get("status") or {}):
            meta, then = live["metadata"], "2026-01-01T00:00:00Z"
            patch = {"status": {"completedAt": then, "provenAt": then}}
            await self.kube.patch(
                BACKUP, meta["name"], meta["namespace"], patch, subresource="status"
            )

    async def _deployment(self, live: Manifest) -> None:
        meta = live["metadata"]
        component = meta["labels"][names.LABEL_COMPONENT]
        key = (meta["namespace"], meta["name"])
        running = self._running.get(key)
        if running is not None and running.generation != meta["generation"]:
            self._end(key)
            running = None
        if live["spec"].get("replicas", 1) == 0:
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
        if port is None or not await self._bring_files(pod, meta["namespace"], directory):
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
        sidecar = None
        if pod.get("initContainers"):
            sidecar = await self._sidecar(live, directory)
            if sidecar is None:
                return None
        log = directory.with_suffix(".log")
        path = container["readinessProbe"]["httpGet"]["path"]
        running = Running(meta["generation"], [program, *arguments], log, port, path)
        running.sidecar = sidecar
        self._running[meta["namespace"], meta["name"]] = running
        self.started.append((meta["name"], version))
        return running

    async def _sidecar(self, live: Manifest, home: Path) -> subprocess.Popen[bytes] | None:
        """The tunnel's server; None while its Service or its Secret is missing."""
        meta, pod = live["metadata"], live["spec"]["template"]["spec"]
        [container] = pod["initContainers"]
        cluster, directory = meta["labels"][names.LABEL_CLUSTER], home / "tunnel"
        service = await self.kube.get(kinds.SERVICE, konnectivity(cluster), meta["namespace"])
        there = await self._bring_files(pod, meta["namespace"], directory, volume=1)
        if service is None or not there:
            return None
        admin, health = free_ports(2)
        ports = {
            "agent-port": int(service["spec"]["ports"][0]["nodePort"]),
            "admin-port": admin,
            "health-port": health,
        }
        arguments = [
            word.replace(FILES, str(directory)).replace(SOCKETS, str(home))
            for word in container["command"][1:]
            if word.removeprefix("--").partition("=")[0] not in ports
        ]
        arguments += [f"--{flag}={port}" for flag, port in ports.items()]
        program = find_binary("proxy-server", KONNECTIVITY_VERSION, "KOK_TEST_PROXY_SERVER")
        return _spawn([program, *arguments], home.with_suffix(".tunnel.log"))

    async def _port(self, live: Manifest, component: str) -> int | None:
        if component != API_SERVER:
            return free_ports(1)[0]
        cluster = live["metadata"]["labels"][names.LABEL_CLUSTER]
        service = await self.kube.get(
            kinds.SERVICE, names.api_service(cluster), live["metadata"]["namespace"]
        )
        return None if service is None else int(service["spec"]["ports"][0]["nodePort"])

    async def _bring_files(
        self, pod: Manifest, namespace: str, directory: Path, volume: int = 0
    ) -> bool:
        """Whether all Secrets are there."""
        for source in pod["volumes"][volume]["projected"]["sources"]:
            wanted = source["secret"]
            secret = await self.kube.get(kinds.SECRET, wanted["name"], namespace)
            if secret is None:
                return False
            for item in wanted["items"]:
                path = directory / item["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                content = base64.b64decode(secret["data"][item["key"]])
                if item["path"] == "kubeconfig":
                    content = await self._local_kubeconfig(content, namespace, directory)
                if path.name == EGRESS_CONFIG:
                    content = content.replace(SOCKETS.encode(), str(directory).encode())
                if not path.exists() or path.read_bytes() != content:
                    path.write_bytes(content)
        return True

    def _home(self, live: Manifest) -> Path:
        """Where the files of a Deployment's process lie."""
        return self.root / str(live["metadata"]["uid"])

    async def _local_kubeconfig(self, text: bytes, namespace: str, directory: Path) -> bytes:
        service = next(
            s
            for s in await self.kube.list(kinds.SERVICE, namespace)
            if str(s["metadata"]["name"]).endswith("-apiserver")
        )
        name = service["metadata"]["name"]
        inner = f"https://{name}.{namespace}.svc:{names.API_PORT}"
        outer = f"https://{own_address()}:{service['spec']['ports'][0]['nodePort']}"
        local = text.decode().replace(inner, outer)
        for folder in (CLIENT_FILES, FILES):
            local = local.replace(folder, str(directory))
        return local.encode()

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


def _spawn(argv: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            [*TIED, *argv],
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
        )
