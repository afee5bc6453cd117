"""A host that was a node: with the real scripts, the built-in ones confined to a directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.component.host_directory import confined
from tests.unit.operators.machine.sshd import FakeHost

from kok.operators.machine.component import functions
from kok.operators.machine.remote import commands, jobs
from kok.operators.machine.remote.jobs import JobResult
from kok.operators.machine.remote.ssh.connection import Connection
from kok.operators.machine.remote.survey import Owner
from kok.runtime.clock import SystemClock

OWNER = Owner("uid-1", "team-a/shop-workers-w1", "team-a/shop", "meta-1")
POD = "0f6ed5c2-9f3b-4b0e-8a0e-1f0b2c3d4e5f"
STATIC = "0123456789abcdef0123456789abcdef"


@dataclass
class Site:
    """A host that was a node: its directories lie below `root`."""

    host: FakeHost
    connection: Connection
    root: Path
    attempt: int = 0

    def file(self, path: str, content: str = "x") -> Path:
        """A file of the host."""
        file = self.root / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def link(self, path: str, to: str) -> Path:
        """A directory of the host that lies elsewhere, where it is made."""
        target, link = self.root / to.removeprefix("/"), self.root / path.removeprefix("/")
        target.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
        return target

    def program(self, name: str, text: str = "") -> None:
        """Takes the place of one of the host's programs in uninstall scripts."""
        file = self.root / "programs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def installed(self, name: str, script: str | None = None, files: str = "") -> None:
        """What an installation of a component leaves in the operator's own directory."""
        ours = builders.builtin(name).spec.scripts.uninstall if script is None else script
        text = confined(functions.complete(ours), self.root)
        home = self.host.home / "components" / name
        home.mkdir(parents=True)
        (home / "order").write_text("1\n")
        (home / "uninstall").write_text(f"PATH={self.root}/programs:$PATH\n{text}")
        (home / "files").write_text(files)

    async def remove(self, *, marked: bool = False) -> JobResult:
        """One attempt to clean up; also the last step of it, if it got so far."""
        ends: list[JobResult] = []

        def told(result: JobResult) -> None:
            if result.ended:
                ends.append(result)

        self.attempt += 1
        job = jobs.removal_job(OWNER.uid, self.attempt)
        await commands.work(self.connection, [job], OWNER, told, SystemClock(), marked=marked)
        if ends[-1].exit == 0:
            await commands.forget(self.connection, OWNER.uid)
        return ends[-1]


def node(site: Site) -> list[Path]:
    """What a kubelet keeps."""
    return [
        site.file("/var/lib/kubelet/pki/kubelet-client-current.pem", "private key"),
        site.file("/var/lib/kubelet/pki/kubelet.key", "private key"),
        site.file(f"/var/lib/kubelet/pods/{POD}/volumes/token", "token of a service account"),
        site.file(f"/var/lib/kubelet/pods/{STATIC}/etc-hosts"),
        site.file("/var/lib/kubelet/cpu_manager_state"),
        site.file("/var/lib/kubelet/image_manager/pulled/sha256-0", "hashes of credentials"),
        site.file("/var/lib/kubelet/pods-api/kubelet.sock"),
        site.file("/etc/kubernetes/kubelet.conf"),
        site.file(f"/var/log/pods/shop_web_{POD}/web/0.log"),
        site.file("/etc/containerd/config.toml"),
        site.file("/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"),
    ]
