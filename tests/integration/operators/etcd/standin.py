"""A stand-in for the controllers and the kubelet that the bare API server of these tests lacks.

For each StatefulSet it makes the pod and runs its command as a process on an address of its own
within 127.0.0.0/8: a real etcd with the real arguments, on real TLS. It binds volumes (one
directory for each claim's UID), brings Secrets to files, probes readiness, restarts what ends,
reports all that in the pod's status, and deletes what is asked to go.

What differs from a cluster: there is no DNS, so in its namespace `layout.host` gives a pod's address
instead of its name, and the peer certificate is issued once more with the address added; nothing
is scheduled.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from tests.ending import ended
from tests.integration.operators.etcd.container import Container, pod_status, program
from tests.integration.operators.etcd.jobstandin import Jobs, tell
from tests.integration.operators.etcd.network import own_network

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Forbidden, KubeError
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.render.statefulset import CERTIFICATES
from kok.operators.etcd.jobs import outcome
from kok.operators.etcd.pods import DATA
from kok.pki import CertificateAuthority, LeafSpec, Usage, ca_of, issue

LIMIT = 60.0
PROBE_EVERY = 0.1
RESTART_AFTER = 0.3


class StandIn:
    """Looks after one namespace until it is left."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self.root = Path(tempfile.mkdtemp(prefix="kok-standin-"))
        self._claim, self.network = own_network()
        self.paused: set[str] = set()
        """Members whose pods are not started for now."""
        self.missing: set[str] = set()
        """Versions of etcd whose image cannot be pulled."""
        self.grow_volumes = False
        """Volumes become as large as they are asked to be, also those that are bound."""
        self.nodes: dict[str, dict[str, str]] = {"node-1": {}}
        """Nodes with their labels; a pod gets the first that its selector matches."""
        self.hold_deletions = False
        """Pods that are to go stay `Terminating`, as on a node that is gone."""
        self.jobs = Jobs(kube, namespace, self.root, self.address)
        self._addresses: dict[str, str] = {}
        self._without_names = mock.patch.object(naming, "host", self._host(naming.host))
        self._containers: dict[str, Container] = {}
        self._changed = asyncio.Event()
        self._rounds = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> StandIn:
        """Begins."""
        self._without_names.start()
        for kind in (kinds.STATEFULSET, kinds.POD, kinds.PVC, kinds.SECRET, kinds.JOB):
            self._tasks.append(asyncio.create_task(self._listen(kind)))
        self._tasks.append(asyncio.create_task(self._work()))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends all processes and removes all files."""
        errors = await ended(self._tasks)
        await self.jobs.close()
        for container in self._containers.values():
            container.end(signal.SIGKILL)
        shutil.rmtree(self.root, ignore_errors=True)
        self._without_names.stop()
        self._claim.close()
        for error in errors:
            # From then on nothing came to life any more, whatever the test waited for.
            if isinstance(error, Exception):
                raise error

    # --- what tests do to it

    def address(self, member: str) -> str:
        """The member's pod address."""
        number = len(self._addresses) + 1
        return self._addresses.setdefault(member, f"{self.network}.0.{number}")

    def running(self) -> list[str]:
        """Client addresses of all members whose process runs."""
        return [
            naming.pod_endpoint(self.address(member))
            for member, container in self._containers.items()
            if container.process is not None and container.process.poll() is None
        ]

    async def settled(self) -> None:
        """Returns once all is undone that it did by what it had read before this call."""
        rounds = self._rounds
        async with asyncio.timeout(LIMIT):
            while self._rounds < rounds + 4:  # noqa: ASYNC110 - it looks all the time
                await asyncio.sleep(PROBE_EVERY)

    def kill(self, member: str) -> None:
        """Kills the member's process, which is gone then; it comes back."""
        self._containers[member].end(signal.SIGKILL)

    def pause(self, member: str) -> None:
        """Ends the member's process and keeps it down."""
        self.paused.add(member)
        self.kill(member)

    def resume(self, member: str) -> None:
        """Lets a paused member come back."""
        self.paused.discard(member)
        self._changed.set()

    def stop_answering(self, member: str) -> None:
        """Freezes the member's process: it accepts connections and never answers."""
        process = self._containers[member].process
        assert process is not None
        process.send_signal(signal.SIGSTOP)

    def answer_again(self, member: str) -> None:
        """Undoes `stop_answering`."""
        process = self._containers[member].process
        assert process is not None
        process.send_signal(signal.SIGCONT)

    async def wipe(self, member: str) -> None:
        """Empties the member's volume while its process is down."""
        shutil.rmtree(await self.volume(member))

    async def damage(self, member: str) -> None:
        """Overwrites the head of the member's database while its process is down."""
        with (await self.volume(member) / "data/member/snap/db").open("r+b") as database:
            database.write(b"\xff" * 8192)

    async def volume(self, member: str) -> Path:
        """Where the member's data lies."""
        claim = await self.kube.get(kinds.PVC, member, self.namespace)
        assert claim is not None
        return self.root / "volumes" / claim["metadata"]["uid"]

    def _host(self, names: Callable[[str, str, str], str]) -> Callable[[str, str, str], str]:
        def host(etcd: str, namespace: str, member: str) -> str:
            here = namespace == self.namespace
            return self.address(member) if here else names(etcd, namespace, member)

        return host

    # --- the loop

    async def _listen(self, kind: Any) -> None:
        async for _ in self.kube.watch(kind, self.namespace):
            self._changed.set()

    async def _work(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_EVERY):
                    await self._changed.wait()
            self._changed.clear()
            with contextlib.suppress(KubeError):  # changed under our hands: the next round sees it
                await self._round()
                self._rounds += 1

    async def _round(self) -> None:
        listed = await asyncio.gather(
            *(
                self.kube.list(kind, self.namespace)
                for kind in (kinds.STATEFULSET, kinds.POD, kinds.PVC)
            )
        )
        sets, pods, claims = ({m["metadata"]["name"]: m for m in found} for found in listed)
        for claim in claims.values():
            await self._bind_or_release(claim, pods)
        await self.jobs.round(pods)
        for name, pod in pods.items():
            if outcome.JOB_OF_POD in (pod["metadata"].get("labels") or {}):
                continue
            if pod["metadata"].get("deletionTimestamp"):
                await self._finish(pod)
            elif name.removesuffix("-0") not in sets:
                await self.kube.delete(kinds.POD, name, self.namespace)
        for name, owner in sets.items():
            pod_name = naming.pod_name(name)
            if pod_name not in pods:
                await self._make_pod(owner)
            elif not pods[pod_name]["metadata"].get("deletionTimestamp"):
                await self._run(pods[pod_name], claims.get(name))

    async def _bind_or_release(self, claim: Manifest, pods: dict[str, Manifest]) -> None:
        meta = claim["metadata"]
        if meta.get("deletionTimestamp"):
            if naming.pod_name(meta["name"]) not in pods:
                patch = {"metadata": {"finalizers": None}}
                await self.kube.patch(kinds.PVC, meta["name"], self.namespace, patch)
            return
        if claim["spec"].get("storageClassName") == "missing":
            return
        asked = claim["spec"]["resources"]["requests"]["storage"]
        bound = (claim.get("status") or {}).get("phase") == "Bound"
        has = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
        if not bound or (self.grow_volumes and has != asked):
            patch = {"status": {"phase": "Bound", "capacity": {"storage": asked}}}
            await self.kube.patch(
                kinds.PVC, meta["name"], self.namespace, patch, subresource="status"
            )

    async def _finish(self, pod: Manifest) -> None:
        if self.hold_deletions:
            return
        meta = pod["metadata"]
        container = self._containers.get(meta["name"].removesuffix("-0"))
        if container is not None and container.pod_uid == meta["uid"]:
            await asyncio.to_thread(container.end, signal.SIGTERM)
            del self._containers[meta["name"].removesuffix("-0")]
        await self.kube.delete(kinds.POD, meta["name"], self.namespace, uid=meta["uid"], grace=0)

    async def _make_pod(self, owner: Manifest) -> None:
        meta, template = owner["metadata"], owner["spec"]["template"]
        reference = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "name": meta["name"],
            "uid": meta["uid"],
            "controller": True,
        }
        pod = naming.pod_name(meta["name"])
        made = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": pod,
                "namespace": self.namespace,
                "labels": template["metadata"]["labels"],
                "annotations": template["metadata"]["annotations"],
                "ownerReferences": [reference],
            },
            "spec": {**template["spec"], "nodeName": self._node(template["spec"])},
        }
        try:
            await self.kube.create(made)
        except Forbidden as error:
            how = f"create Pod {pod} in StatefulSet {meta['name']} failed error: {error.message}"
            await tell(self.kube, owner, how)

    def _node(self, spec: Manifest) -> str:
        wanted = (spec.get("nodeSelector") or {}).items()
        return next(name for name, labels in self.nodes.items() if wanted <= labels.items())

    async def _run(self, pod: Manifest, claim: Manifest | None) -> None:
        meta, member = pod["metadata"], pod["metadata"]["name"].removesuffix("-0")
        container = self._containers.get(member)
        if container is None or container.pod_uid != meta["uid"]:
            container = Container(meta["uid"], self.address(member), self.root / meta["uid"])
            self._containers[member] = container
        bound = claim is not None and (claim.get("status") or {}).get("phase") == "Bound"
        if not bound or claim is None or member in self.paused:
            ran = container.process is not None and container.process.poll() is None
            if not ran:
                await self._report(pod, container, "waiting")
            return
        if not await self._bring_secrets(pod, container):
            return
        if container.process is None:
            if _version(pod) in self.missing:
                await self._report(pod, container, "pulling")
                return
            if not await self._start(pod, claim, container):
                await self._report(pod, container, "unsettled")
                return
        elif container.process.poll() is not None:
            container.ended = {"exitCode": container.process.returncode, "reason": "Error"}
            container.ended["message"] = container.log.read_text()[-2048:]
            container.restarts += 1
            container.process = None
            container.ready = False
            await self._report(pod, container, "ended")
            await asyncio.sleep(RESTART_AFTER)
            return
        await container.probe()
        await self._report(pod, container, "running")

    async def _start(self, pod: Manifest, claim: Manifest, container: Container) -> bool:
        """Whether it could be: as the kubelet, it looks again only after a change of the pod."""
        notes = pod["metadata"].get("annotations") or {}
        if container.unsettled == notes:
            return False
        container.unsettled = None
        volume = self.root / "volumes" / claim["metadata"]["uid"]
        volume.mkdir(parents=True, exist_ok=True)
        spec = pod["spec"]["containers"][0]
        for first in pod["spec"].get("initContainers", ()):
            words = [self._local(word, container, volume) for word in first["command"]]
            await asyncio.to_thread(subprocess.run, words, check=True)
        try:
            variables = {entry["name"]: await self._value(entry) for entry in spec.get("env", ())}
        except KeyError:
            container.unsettled = notes
            return False
        container.spawn(
            program(_version(pod)),
            [self._local(word, container, volume) for word in spec["command"][1:]],
            {name: self._local(text, container, volume) for name, text in variables.items()},
        )
        return True

    async def _value(self, entry: Manifest) -> str:
        """The value of a variable, looked up anew at each start as the kubelet does."""
        if "value" in entry:
            return str(entry["value"])
        reference = entry["valueFrom"]["configMapKeyRef"]
        found = await self.kube.get(kinds.CONFIGMAP, reference["name"], self.namespace) or {}
        return str(found["data"][reference["key"]])

    def _local(self, word: str, container: Container, volume: Path) -> str:
        word = word.replace("0.0.0.0", container.address)  # noqa: S104 - replaced, not bound
        return word.replace(DATA, str(volume)).replace(CERTIFICATES, str(container.directory))

    async def _bring_secrets(self, pod: Manifest, container: Container) -> bool:
        """Whether all Secrets are there; their files follow them."""
        found: dict[str, Manifest] = {}
        for volume in pod["spec"]["volumes"]:
            if "secret" in volume:
                secret = await self.kube.get(
                    kinds.SECRET, volume["secret"]["secretName"], self.namespace
                )
                if secret is None:
                    return container.process is not None
                found[volume["name"]] = secret
        gist = json.dumps({name: secret["data"] for name, secret in found.items()}, sort_keys=True)
        if gist != container.secrets:
            for name, secret in found.items():
                await self._write_secret(pod, container, name, secret)
            container.secrets = gist
        return True

    async def _write_secret(
        self, pod: Manifest, container: Container, name: str, secret: Manifest
    ) -> None:
        files = {key: base64.b64decode(value) for key, value in secret["data"].items()}
        if name == "peer":
            etcd = pod["metadata"]["labels"]["kok.dev/owner-name"]
            ca = await self._signer(etcd, files["tls.crt"])
            if ca is not None:
                spec = LeafSpec(
                    naming.PEER_COMMON_NAME,
                    dns_names=[f"*.{etcd}-peers.{self.namespace}.svc"],
                    ip_addresses=[container.address],
                    usages=Usage.BOTH,
                )
                leaf = issue(ca, spec, datetime.now(UTC))
                files |= {"tls.crt": leaf.cert_pem, "tls.key": leaf.key_pem}
        place = container.directory / name
        place.mkdir(parents=True, exist_ok=True)
        for key, content in files.items():
            temporary = place / f".{key}"
            temporary.write_bytes(content)
            temporary.replace(place / key)

    async def _signer(self, etcd: str, certificate: bytes) -> CertificateAuthority | None:
        """The CA of an EtcdCluster that signed a certificate; there are two while one is rotated."""
        leaf = x509.load_pem_x509_certificate(certificate)
        for name in (f"{etcd}-ca", f"{etcd}-ca-next"):
            ca = ca_of(await self.kube.get(kinds.SECRET, name, self.namespace))
            if ca is None:
                continue
            with contextlib.suppress(ValueError, InvalidSignature):
                leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.cert_pem))
                return ca
        return None

    async def _report(self, pod: Manifest, container: Container, what: str) -> None:
        status = pod_status(container, what)
        if status != container.reported:
            name = pod["metadata"]["name"]
            await self.kube.patch(
                kinds.POD, name, self.namespace, {"status": status}, subresource="status"
            )
            container.reported = status


def _version(pod: Manifest) -> str:
    image = str(pod["spec"]["containers"][0]["image"])
    return image.rpartition(":")[2].removesuffix("-0")
