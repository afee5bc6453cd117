"""The stand-in's Jobs: their pods' containers as processes, one after the other.

Volumes are directories, found below a root of the pod's own at the paths where they are mounted.
A worker runs from this checkout (`kok etcd-worker`, told of that root); containers of etcd's image
run the programs of that version. What differs from a cluster: addresses on loopback are the pod's
own, the file systems are one, and no limit of memory holds.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.ending import ended
from tests.integration.apiserver import TIED
from tests.integration.operators.etcd.container import program

from kok.api.meta import Manifest
from kok.backup.paths import ROOT_VARIABLE
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import AlreadyExists, Forbidden, KubeError
from kok.operators.etcd.jobs import outcome

KOK = "from kok.cli.main import app; app()"
CHECKOUT = Path(__file__).parents[4]
LOG_LINES = 10
SIDECAR: Manifest = {
    "name": "mesh",
    "image": "mesh:1",
    "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}},
}
GRACE = 10.0


@dataclass
class Run:
    """One Job's pod and what runs of it."""

    job: Manifest
    pod: Manifest
    address: str
    root: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    statuses: dict[str, Manifest] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its Job is to go."""


class Jobs:
    """Looks after the Jobs of one namespace."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        root: Path,
        address: Callable[[str], str],
    ) -> None:
        """`address` gives a pod's by its name."""
        self.kube = kube
        self.namespace = namespace
        self.root = root
        self.held: set[str] = set()
        """Purposes (`backup`, `verify`...) whose pods do not start for now."""
        self.sidecar = False
        """Whether a webhook puts a container into each pod that never ends by itself."""
        self.environment: dict[str, str] = {}
        """More variables for workers."""
        self._address = address
        self._runs: dict[str, Run] = {}

    async def close(self) -> None:
        """Ends all processes."""
        for run in self._runs.values():
            _end(run)
        await ended(run.task for run in self._runs.values() if run.task is not None)

    def running(self) -> list[str]:
        """Names of Jobs that have processes now."""
        return [
            run.job["metadata"]["name"]
            for run in self._runs.values()
            if any(process.poll() is None for process in run.processes.values())
        ]

    async def kill(self, job: str) -> None:
        """Ends a Job's processes as a lost node would: without a report."""
        run = next(r for r in self._runs.values() if r.job["metadata"]["name"] == job)
        for process in run.processes.values():
            process.kill()

    async def round(self, pods: dict[str, Manifest]) -> None:
        """One look at all Jobs; `pods` are all pods of the namespace."""
        found = {m["metadata"]["uid"]: m for m in await self.kube.list(kinds.JOB, self.namespace)}
        for uid, run in list(self._runs.items()):
            if uid not in found:
                await self._remove(run)
        for uid, job in found.items():
            if job["metadata"].get("deletionTimestamp"):
                await self._delete(job)
            elif uid not in self._runs and not outcome.ended(job):
                await self._begin(job, pods)

    async def _begin(self, job: Manifest, pods: dict[str, Manifest]) -> None:
        meta, template = job["metadata"], job["spec"]["template"]
        purpose = meta["labels"].get("kok.dev/etcd-worker", "")
        name = f"{meta['name']}-run"
        pod = pods.get(name)
        if pod is None:
            labels = {**template["metadata"]["labels"], outcome.JOB_OF_POD: meta["name"]}
            reference = {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": meta["name"],
                "uid": meta["uid"],
                "controller": True,
            }
            spec = {**template["spec"], "nodeName": "node-1"}
            if self.sidecar:
                spec["containers"] = [{**SIDECAR}, *spec["containers"]]
            notes = template["metadata"].get("annotations") or {}
            made = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": self.namespace,
                    "labels": labels,
                    "annotations": notes,
                    "ownerReferences": [reference],
                },
                "spec": spec,
            }
            try:
                await self.kube.create(made)
            except AlreadyExists:
                pass
            except Forbidden as error:
                await tell(self.kube, job, f"Error creating: {error.message}")
            return
        if purpose in self.held or pod["metadata"].get("deletionTimestamp"):
            return
        run = Run(job, pod, self._address(name), self.root / pod["metadata"]["uid"])
        self._runs[meta["uid"]] = run
        run.task = asyncio.create_task(self._watched(run))

    async def _watched(self, run: Run) -> None:
        try:
            await self._live(run)
        except Exception:
            # The Job never ends now: what the test waits for in vain is not the reason.
            traceback.print_exc()
            raise

    async def _live(self, run: Run) -> None:
        """From the first container to the Job's last word."""
        spec = run.pod["spec"]
        volumes = {v["name"]: await self._volume(run, v) for v in spec.get("volumes", ())}
        ok = True
        await self._report(run, "Running")
        for container in spec.get("initContainers", ()):
            self._spawn(run, container, volumes)
            if container.get("restartPolicy") != "Always":
                ok = await self._wait(run, container) and ok
            if not ok:
                break
        ours = [c for c in spec["containers"] if c["name"] != SIDECAR["name"]]
        for container in ours if ok else ():
            self._spawn(run, container, volumes)
            ok = await self._wait(run, container) and ok
        if ours != spec["containers"]:
            run.statuses[SIDECAR["name"]] = {"running": {"startedAt": _now()}}
            await self._report(run, "Running")
            await run.gone.wait()
        _end(run)
        await self._report(run, "Succeeded" if ok else "Failed")
        await self._conclude(run, ok=ok)

    def _spawn(self, run: Run, container: Manifest, volumes: dict[str, Path]) -> None:
        root = run.root / "root" / container["name"]
        for mount in container.get("volumeMounts", ()):
            place = root / mount["mountPath"].lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(volumes[mount["name"]])
        message = root / "dev" / "termination-log"
        message.parent.mkdir(parents=True, exist_ok=True)
        message.touch()
        words, variables = self._command(run, container, root)
        with (run.root / f"{container['name']}.log").open("wb") as log:
            run.processes[container["name"]] = subprocess.Popen(
                [*TIED, *words],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=variables,
                cwd=root,
            )
        run.statuses[container["name"]] = {"running": {"startedAt": _now()}}

    def _command(
        self, run: Run, container: Manifest, root: Path
    ) -> tuple[list[str], dict[str, str]]:
        given = {e["name"]: self._here(run, str(e["value"])) for e in container.get("env", ())}
        if "command" not in container:
            variables = {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT}",
                ROOT_VARIABLE: str(root),
                **given,
                **self.environment,
            }
            return [sys.executable, "-c", KOK, *container["args"]], variables
        name, *arguments = container["command"]
        version = container["image"].rpartition(":")[2].removesuffix("-0")
        words = [self._here(run, word) for word in [*arguments, *container.get("args", ())]]
        for mount in container.get("volumeMounts", ()):
            inside = str(root / mount["mountPath"].lstrip("/"))
            words = [word.replace(mount["mountPath"], inside) for word in words]
        return [program(version, name), *words], given

    def _here(self, run: Run, word: str) -> str:
        for port in ("2379", "2380", "2381"):
            word = word.replace(f"127.0.0.1:{port}", f"{run.address}:{port}")
        return word

    async def _wait(self, run: Run, container: Manifest) -> bool:
        name = container["name"]
        code = await asyncio.to_thread(run.processes[name].wait)
        run.statuses[name] = {"terminated": self._terminated(run, name, code)}
        return code == 0

    def _terminated(self, run: Run, name: str, code: int) -> Manifest:
        said = (run.root / "root" / name / "dev" / "termination-log").read_text()
        if not said and code:
            lines = (run.root / f"{name}.log").read_text(errors="replace").splitlines()
            said = "\n".join(lines[-LOG_LINES:])
        reason = "Completed" if code == 0 else "Error"
        return {"exitCode": code % 256, "reason": reason, "message": said[:4096]}

    async def _volume(self, run: Run, volume: Manifest) -> Path:
        if "persistentVolumeClaim" in volume:
            claim = await self._there(kinds.PVC, volume["persistentVolumeClaim"]["claimName"])
            path = self.root / "volumes" / claim["metadata"]["uid"]
        else:
            path = run.root / "volumes" / volume["name"]
        path.mkdir(parents=True, exist_ok=True)
        if "secret" in volume:
            source = volume["secret"]
            await self._files(kinds.SECRET, source["secretName"], source, path)
        elif "configMap" in volume:
            source = volume["configMap"]
            await self._files(kinds.CONFIGMAP, source["name"], source, path)
        return path

    async def _there(self, kind: Any, name: str) -> Manifest:
        """An object that a pod needs: as in a cluster, its containers wait for it."""
        while True:
            live = await self.kube.get(kind, name, self.namespace)
            if live is not None:
                return live
            await asyncio.sleep(0.1)

    async def _files(self, kind: Any, name: str, source: Manifest, path: Path) -> None:
        data = (await self._there(kind, name)).get("data") or {}
        raw = {
            key: base64.b64decode(value) if kind == kinds.SECRET else value.encode()
            for key, value in data.items()
        }
        items = source.get("items") or [{"key": key, "path": key} for key in raw]
        for item in items:
            (path / item["path"]).write_bytes(raw[item["key"]])

    # --- what is told of it

    async def _report(self, run: Run, phase: str) -> None:
        spec = run.pod["spec"]
        status: Manifest = {"phase": phase, "podIP": run.address, "podIPs": [{"ip": run.address}]}
        for key, containers in (
            ("initContainerStatuses", spec.get("initContainers", ())),
            ("containerStatuses", spec["containers"]),
        ):
            status[key] = [
                {
                    "name": c["name"],
                    "image": c["image"],
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": run.statuses.get(
                        c["name"], {"waiting": {"reason": "PodInitializing"}}
                    ),
                }
                for c in containers
            ]
        with contextlib.suppress(KubeError):
            await self.kube.patch(
                kinds.POD,
                run.pod["metadata"]["name"],
                self.namespace,
                {"status": status},
                subresource="status",
            )

    async def _conclude(self, run: Run, *, ok: bool) -> None:
        first, last = ("SuccessCriteriaMet", "Complete") if ok else ("FailureTarget", "Failed")
        why = {} if ok else {"reason": "BackoffLimitExceeded", "message": "has failed"}
        status: Manifest = {
            "startTime": _now(),
            "conditions": [
                {"type": type_, "status": "True", "lastTransitionTime": _now(), **why}
                for type_ in (first, last)
            ],
            "succeeded" if ok else "failed": 1,
        }
        if ok:
            status["completionTime"] = _now()
        with contextlib.suppress(KubeError):
            meta = run.job["metadata"]
            await self.kube.patch(
                kinds.JOB, meta["name"], self.namespace, {"status": status}, subresource="status"
            )

    async def _delete(self, job: Manifest) -> None:
        run = self._runs.get(job["metadata"]["uid"])
        if run is not None:
            await self._remove(run)
        patch = {"metadata": {"finalizers": None}}
        await self.kube.patch(kinds.JOB, job["metadata"]["name"], self.namespace, patch)

    async def _remove(self, run: Run) -> None:
        """The garbage collector and the kubelet: a deleted Job takes its pod with it."""
        run.gone.set()
        for process in run.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        if run.task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await asyncio.shield(run.task)
        _end(run)
        if run.task is not None:
            await ended([run.task])
        meta = run.pod["metadata"]
        await self.kube.delete(kinds.POD, meta["name"], self.namespace, uid=meta["uid"], grace=0)
        self._runs.pop(run.job["metadata"]["uid"], None)


async def tell(kube: Kube, owner: Manifest, note: str) -> None:
    """The Event of a controller whose pod is refused; written once, others count them."""
    meta, now = owner["metadata"], _now()
    with contextlib.suppress(AlreadyExists):
        await kube.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {
                    "name": f"{meta['name']}.{meta['uid']}",
                    "namespace": meta["namespace"],
                },
                "involvedObject": {
                    "apiVersion": owner["apiVersion"],
                    "kind": owner["kind"],
                    "name": meta["name"],
                    "namespace": meta["namespace"],
                    "uid": meta["uid"],
                },
                "type": "Warning",
                "reason": "FailedCreate",
                "message": note,
                "source": {"component": "controller"},
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            }
        )


def _end(run: Run) -> None:
    for process in run.processes.values():
        if process.poll() is None:
            process.kill()
        process.wait(timeout=20)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
