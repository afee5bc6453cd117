"""What a lab remembers of itself between commands: one JSON file, written atomically.

It holds choices (subnet, password), never observations: what runs is asked of podman each time.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from e2e.lab.cluster import network
from e2e.lab.errors import LabError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?")


class State(BaseModel):
    """The choices of one lab. ``timings`` are seconds of the last `up`, by step."""

    model_config = ConfigDict(extra="ignore")

    name: str
    subnet: IPv4Network
    pod_cidr: IPv4Network
    service_cidr: IPv4Network
    password: str
    timings: dict[str, float] = {}

    @property
    def registry(self) -> IPv4Address:
        return self.subnet[network.REGISTRY_OFFSET]

    @property
    def artifacts(self) -> IPv4Address:
        return self.subnet[network.ARTIFACTS_OFFSET]

    @property
    def s3(self) -> IPv4Address:
        return self.subnet[network.S3_OFFSET]

    @property
    def machine(self) -> IPv4Address:
        """Where hosts and pods reach what runs on the machine itself: the bridge's own address."""
        return self.subnet[1]


def lab_name() -> str:
    """``$KOK_LAB``, by default ``kok``. It becomes part of container names."""
    name = os.environ.get("KOK_LAB") or "kok"
    if not _NAME.fullmatch(name):
        raise LabError(
            f"KOK_LAB={name!r} cannot name a lab: use at most 16 lower-case letters, digits and -"
        )
    return name


class Store:
    """The directory of one lab: its state, its SSH key, its kubeconfig, its logs."""

    def __init__(self, name: str) -> None:
        base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        self.name = name
        self.root = Path(base).expanduser().absolute() / "kok" / "labs" / name

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def key(self) -> Path:
        """The private SSH key that every host of the lab accepts."""
        return self.root / "id_ed25519"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def s3(self) -> Path:
        """Keys and certificates of the S3 server, if the lab has one."""
        return self.root / "s3"

    def host_key(self, host: str) -> Path:
        """The public key that a host's sshd shows."""
        return self.root / "host-keys" / f"{host}.pub"

    def read(self) -> State | None:
        """The state, or None when the lab was never brought up (or was taken down)."""
        file = self.root / "state.json"
        return State.model_validate_json(file.read_text()) if file.exists() else None

    def write(self, state: State) -> None:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.root / "state.json.new"
        draft.write_text(json.dumps(state.model_dump(mode="json"), indent=2) + "\n")
        draft.chmod(0o600)
        draft.rename(self.root / "state.json")

    def remove(self) -> None:
        """Forget the lab; directories above it go too once they are empty."""
        shutil.rmtree(self.root, ignore_errors=True)
        for parent in (self.root.parent, self.root.parent.parent):
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


async def ensure(store: Store) -> State:
    """The lab's state; chosen and recorded at the first call."""
    if found := store.read():
        return found
    used = list(await network.in_use())
    pod = network.choose(network.CLUSTER_POOL, 16, f"{store.name} pods", used)
    service = network.choose(network.CLUSTER_POOL, 16, f"{store.name} services", [*used, pod])
    state = State(
        name=store.name,
        subnet=network.choose(network.HOSTS_POOL, 24, store.name, used),
        pod_cidr=pod,
        service_cidr=service,
        password=secrets.token_urlsafe(12),
    )
    store.write(state)
    return state
