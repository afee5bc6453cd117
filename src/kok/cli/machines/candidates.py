"""Hosts that are to become nodes, as files and options describe them."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kok.api import Cluster, Host, KubeNode, Machine
from kok.api.machine.access import SSHAccess
from kok.api.meta import Manifest
from kok.cli.query import Refused
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.decoding.truncation import FREE_FORM
from kok.operators.machine.remote.host_credentials import secrets_of

MOST = 4 * 2**20
"""Bytes of one file."""
_HERE = "from-options"
"""In the place of a Secret's name: the private key comes from a file."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One host, and what it is to be a node of."""

    obj: Machine | Host
    kubenode: KubeNode | None = None
    cluster: str = ""
    """Cluster in the same namespace, if one is named."""


@dataclass(slots=True)
class Files:
    """What files say, and behind them the meta cluster, which need not be there."""

    kube: Kube | None
    namespace: str
    objects: list[Manifest] = field(default_factory=list)

    async def secrets(self, ssh: SSHAccess) -> tuple[Manifest | None, Manifest | None]:
        """Those for a host and for its bastion. Raises `KubeError`."""
        name, jump = secrets_of(ssh)
        secret = await self.secret(name)
        return secret, None if jump is None else await self.secret(jump)

    async def secret(self, name: str) -> Manifest | None:
        """One by name. Raises `KubeError`."""
        found = self._file("Secret", name)
        if found is not None:
            return _encoded(found)
        return (
            None if self.kube is None else await self.kube.get(kinds.SECRET, name, self.namespace)
        )

    async def cluster(self, name: str) -> Cluster | None:
        """One by name, as it runs if it does. Raises `KubeError` and `Unreadable`."""
        found = None
        if self.kube is not None:
            kind = Cluster.info.kind
            found = await self.kube.get(kind, name, self.namespace, unread=FREE_FORM)
        found = found or self._file("Cluster", name)
        return Cluster.parse(found) if found is not None else None

    def _file(self, kind: str, name: str) -> Manifest | None:
        for one in self.objects:
            if one.get("kind") == kind and one["metadata"]["name"] == name:
                return one
        return None

    def candidates(self) -> list[Candidate]:
        """All hosts that the files name. Raises `Unreadable`."""
        found: list[Candidate] = []
        for one in self.objects:
            kind = one.get("kind")
            if kind == "Host":
                found.append(Candidate(Host.parse(one)))
            elif kind == "Machine":
                machine = Machine.parse(one)
                found.append(Candidate(machine, cluster=machine.spec.cluster))
            elif kind == "KubeNode":
                found += _hosts_of(KubeNode.parse(one))
        return found


def _hosts_of(kubenode: KubeNode) -> Iterable[Candidate]:
    spec = kubenode.spec
    for host in spec.hosts:
        if spec.ssh is None:
            raise Refused(
                f"KubeNode {kubenode.name}: spec.ssh is missing; say how to log in to hosts"
            )
        described = {
            "address": host.address,
            "port": host.port,
            "hostKey": host.host_key,
            "ssh": spec.ssh.manifest(),
        }
        obj = Host.parse(_object("Host", host.name, kubenode.namespace, described))
        yield Candidate(obj, kubenode, spec.cluster)


def read(paths: Sequence[str], namespace: str) -> list[Manifest]:
    """The objects in files, `-` is standard input. Raises `Refused`."""
    import yaml  # noqa: PLC0415 - only some commands need it

    found: list[Manifest] = []
    for path in paths:
        try:
            with sys.stdin if path == "-" else Path(path).open(encoding="utf-8") as file:
                text = file.read(MOST + 1)
            if len(text) > MOST:
                raise Refused(f"{path} is larger than {MOST >> 20} MiB")
            documents = [one for one in yaml.safe_load_all(text) if one is not None]
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error.strerror}") from None
        except (UnicodeDecodeError, yaml.YAMLError):
            # The parser's message quotes the text, which may hold keys.
            raise Refused(f"{path} is not YAML") from None
        for one in documents:
            meta = one.get("metadata") if isinstance(one, dict) else None
            if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
                raise Refused(
                    f"{path}: an object without metadata.name; write it as for kubectl apply"
                )
            found.append({**one, "metadata": {**meta, "namespace": namespace}})
    return found


def described(
    address: str, namespace: str, *, port: int, user: str, secret: str, host_key: str
) -> Manifest:
    """A Host as options describe it."""
    ssh = {"user": user, "secret": secret or _HERE}
    spec = {"address": address, "port": port, "hostKey": host_key, "ssh": ssh}
    return _object("Host", "host", namespace, spec)


def key_file(path: str, namespace: str) -> Manifest:
    """A Secret with the private key of a file. Raises `Refused`."""
    try:
        with Path(path).expanduser().open("rb") as file:
            content = file.read(MOST + 1)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MOST:
        raise Refused(f"{path} is larger than {MOST >> 20} MiB, and no private key")
    data = {"ssh-privatekey": base64.b64encode(content).decode()}
    return {"kind": "Secret", "metadata": {"name": _HERE, "namespace": namespace}, "data": data}


def _object(kind: str, name: str, namespace: str, spec: Any) -> Manifest:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def _encoded(secret: Manifest) -> Manifest:
    """A Secret with all of its content in `data`, as the API server would store it."""
    plain = secret.get("stringData") or {}
    more = {key: base64.b64encode(str(text).encode()).decode() for key, text in plain.items()}
    return {**secret, "data": {**(secret.get("data") or {}), **more}}
