"""Hosts: podman containers with systemd and sshd, and everything that can befall a host.

A worker host is bare. What a product installs on it survives a restart and a power cut, as on a
real one, because the container is started again rather than made anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import asyncssh

from e2e.lab.cluster import network
from e2e.lab.cluster.state import State, Store
from e2e.lab.errors import LabError
from e2e.lab.machine import podman
from e2e.lab.machine.commands import run
from e2e.lab.machine.podman import LABEL, PODMAN
from e2e.polling import eventually

USER = "ops"
ROLE_LABEL = "dev.kok.lab.role"
# Overlay file systems cannot lie on one another: what mounts some needs a volume.
VOLUMES = {
    "containerd": "/var/lib/containerd",
    "docker": "/var/lib/docker",
    "kubelet": "/var/lib/kubelet",
    "etcd": "/var/lib/etcd",
    "storage": "/var/lib/local-path",
}
_NAME = re.compile(r"(meta|worker)-([1-9]\d{0,2})")
_BOOT_SECONDS = 60.0

# In a container systemd reads its own arguments as those of the kernel. From 256 on it refuses control
# groups v1, which the machine may have, unless it is told so; older ones take no notice. Only outside of
# containers does it share mounts, as pods that see those of their host ask for.
_INIT = (
    *("/bin/sh", "-c", 'mount --make-rshared / && exec "$0" "$@"'),
    *("/sbin/init", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"),
)

_PREPARE = """\
set -eu
printf '127.0.0.1 localhost\\n::1 localhost ip6-localhost\\n%s %s\\n' "$ADDRESS" "$NAME" > /etc/hosts
install -d -m 0700 -o ops -g ops /home/ops/.ssh
printf '%s\\n' "$KEY" > /home/ops/.ssh/authorized_keys
chown ops:ops /home/ops/.ssh/authorized_keys
chmod 0600 /home/ops/.ssh/authorized_keys
printf 'ops:%s\\n' "$PASSWORD" | chpasswd
"""

_CUT = """\
table inet lab_cut {
  chain in { type filter hook prerouting priority -500; policy accept; iifname "eth0" drop; }
  chain out { type filter hook postrouting priority 500; policy accept; oifname "eth0" drop; }
}
"""
_HEAL = "if nft list table inet lab_cut >/dev/null 2>&1; then nft delete table inet lab_cut; fi"


@dataclass(frozen=True)
class Host:
    """One host. ``name`` is also its host name and, in the meta cluster, its node name."""

    name: str
    role: str
    address: IPv4Address
    container: str


@dataclass(frozen=True)
class SSH:
    """How to reach a host over SSH, by key or by password; the user may sudo without one."""

    address: str
    port: int
    user: str
    key: Path
    password: str = field(repr=False)
    host_key: str
    fingerprint: str


class Hosts:
    """The hosts of one lab."""

    def __init__(self, state: State, store: Store) -> None:
        self.state = state
        self.store = store

    @property
    def network(self) -> str:
        return f"{self.state.name}-lab"

    def host(self, name: str) -> Host:
        """A host by name, ``meta-N`` or ``worker-N``, whether it exists or not."""
        match = _NAME.fullmatch(name)
        if not match:
            raise LabError(f"{name!r} is no host of a lab: they are called meta-N and worker-N")
        role, index = match.group(1), int(match.group(2))
        address = network.addresses(self.state.subnet, role, index)
        return Host(name, role, address, f"{self.state.name}-{name}")

    async def existing(self) -> list[Host]:
        """The hosts that were made, by name, running or not."""
        found = [
            container.name.removeprefix(f"{self.state.name}-")
            for container in await podman.of_lab(self.state.name)
            if ROLE_LABEL in container.labels
        ]
        return [self.host(name) for name in sorted(found, key=_by_number)]

    async def ensure(self, name: str, image: str) -> Host:
        """Make sure that a host runs and that its sshd answers."""
        host = self.host(name)
        if not await podman.keep(self.state.name, host.container):
            # A new container on old disks would be neither a new host nor the old one.
            await self.remove(name)
            await self._create_volumes(host)
            await podman.make(self.state.name, host.container, image, self._options(host), _INIT)
        await self._prepare(host)
        await self.heal(name)
        await self.wait(name)
        await self._note_host_key(host)
        return host

    async def wait(self, name: str, timeout: float = _BOOT_SECONDS) -> None:
        """Wait until a host's sshd says hello."""
        host = self.host(name)
        try:
            await eventually(partial(_greets, str(host.address)), timeout, every=0.1)
        except TimeoutError:
            raise LabError(
                f"{name} does not answer on {host.address}:22 after {timeout:.0f} s; "
                f"look at `podman exec {host.container} systemctl status`"
            ) from None

    def ssh(self, name: str) -> SSH:
        """The host's SSH access, with the key that it showed when it was last prepared."""
        host = self.host(name)
        noted = self.store.host_key(name)
        if not noted.exists():
            raise LabError(f"{name} was not made yet: `python -m e2e.lab host add` makes hosts")
        public = noted.read_text().strip()
        return SSH(
            address=str(host.address),
            port=22,
            user=USER,
            key=self.store.key,
            password=self.state.password,
            host_key=public,
            fingerprint=asyncssh.import_public_key(public).get_fingerprint(),
        )

    async def _note_host_key(self, host: Host) -> None:
        line = await podman.execute(host.container, "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
        noted = self.store.host_key(host.name)
        noted.parent.mkdir(parents=True, exist_ok=True)
        draft = noted.with_suffix(".new")
        draft.write_text(" ".join(line.split()[:2]) + "\n")
        draft.rename(noted)

    async def kill(self, name: str) -> None:
        """Cut the power; returns when the host is off."""
        container = self.host(name).container
        await run(*PODMAN, "kill", container)
        await run(*PODMAN, "wait", container, timeout=30)

    async def start(self, name: str) -> None:
        """Switch a host on again, after `kill` or after anything else that ended it."""
        host = self.host(name)
        found = await podman.find(host.container)
        if found is None or not await podman.revive(found):
            raise LabError(f"{name} cannot be started; `reset` makes it anew")
        await self._prepare(host)
        await self.wait(name)

    async def pause(self, name: str) -> None:
        """Freeze all processes of a host: its connections stay open and nothing answers."""
        await run(*PODMAN, "pause", self.host(name).container)

    async def unpause(self, name: str) -> None:
        await run(*PODMAN, "unpause", self.host(name).container)

    async def restart(self, name: str) -> None:
        """Reboot: systemd shuts down (10 s at most) and boots again."""
        host = self.host(name)
        await run(*PODMAN, "restart", "--time", "10", host.container, timeout=60)
        await self._prepare(host)
        await self.wait(name)

    async def cut(self, name: str) -> None:
        """Drop all traffic between a host and the rest; inside the host it goes on."""
        await self.heal(name)
        await podman.execute(self.host(name).container, "nft", "-f", "-", stdin=_CUT.encode())

    async def heal(self, name: str) -> None:
        """Undo `cut`; a host that is not cut off is left as it is."""
        await podman.execute(self.host(name).container, "sh", "-c", _HEAL)

    async def remove(self, name: str) -> None:
        """Remove a host with its disks."""
        host = self.host(name)
        await podman.remove(host.container)
        volumes = [self._volume(host, key) for key in VOLUMES]
        await run("podman", "volume", "rm", "--force", *volumes, check=False)
        self.store.host_key(name).unlink(missing_ok=True)

    async def _prepare(self, host: Host) -> None:
        """What a host gets from its lab at each start: names, the lab's key and password."""
        public = asyncssh.read_private_key(self.store.key).export_public_key().decode().strip()
        values = {
            "ADDRESS": str(host.address),
            "NAME": host.name,
            "KEY": public,
            "PASSWORD": self.state.password,
        }
        script = "".join(f"{key}='{value}'\n" for key, value in values.items()) + _PREPARE
        await podman.execute(host.container, "sh", "-s", stdin=script.encode(), timeout=30)

    async def _create_volumes(self, host: Host) -> None:
        """Make a host's disks; podman would make them without the label that `down` looks for."""
        label = f"{LABEL}={self.state.name}"
        for key in VOLUMES:
            await run("podman", "volume", "create", "--label", label, self._volume(host, key))

    def _volume(self, host: Host, key: str) -> str:
        return f"{host.container}-{key}"

    def _options(self, host: Host) -> Sequence[str]:
        options = [
            *("--network", self.network, "--ip", str(host.address), "--hostname", host.name),
            # A host that keeps its hardware address is found at once when it comes back.
            *("--mac-address", _hardware_address(host.address)),
            *("--label", f"{ROLE_LABEL}={host.role}", "--no-hosts"),
            # What podman's systemd mode would mount, without its bind mount of the machine's own
            # systemd hierarchy: there, under cgroup v1, the hosts' systemds end one another's
            # services.
            *("--privileged", "--systemd=false", "--cgroupns=private"),
            *("--stop-signal", "SIGRTMIN+3"),
            *("--tmpfs", "/run:mode=755", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:mode=1777"),
        ]
        for key, path in VOLUMES.items():
            options += ["--volume", f"{self._volume(host, key)}:{path}"]
        return options


def ensure_key(store: Store) -> None:
    """Make the lab's SSH key, unless there is one."""
    if store.key.exists():
        return
    store.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = store.key.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    draft.rename(store.key)


def _hardware_address(address: IPv4Address) -> str:
    """A locally administered hardware address that belongs to an IP address."""
    return ":".join(f"{octet:02x}" for octet in (0x02, 0x4B, *address.packed))


def _by_number(name: str) -> tuple[str, int]:
    role, _, index = name.partition("-")
    return role, int(index)


async def _greets(address: str) -> bool:
    """Whether an SSH server speaks at that address."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(address, 22)
            try:
                return (await reader.readline()).startswith(b"SSH-")
            finally:
                writer.close()
    return False
