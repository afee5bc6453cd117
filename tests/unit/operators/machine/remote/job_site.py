"""A host on which jobs are done by the real scripts in real shells."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.sshd import FakeHost

from kok.operators.machine.component import component_jobs
from kok.operators.machine.component.render import Rendered, rendered
from kok.operators.machine.remote import commands
from kok.operators.machine.remote.jobs import JobPlan, JobResult
from kok.operators.machine.remote.ssh import Credentials, Expected, Target, Timeouts
from kok.operators.machine.remote.ssh.connection import Connection
from kok.operators.machine.remote.ssh.login import connect
from kok.operators.machine.remote.survey import Found, Owner, Question, Survey
from kok.runtime.clock import SystemClock

OWNER = Owner("uid-1", "team-a/shop-workers-w1", "team-a/shop", "meta-1")


@dataclass
class Site:
    """A host, a connection to it, and a place for what scripts do."""

    host: FakeHost
    connection: Connection
    root: Path
    results: dict[str, JobResult] = field(default_factory=dict)

    def component(self, name: str = "tool", version: str = "1.0", **spec: Any) -> Rendered:
        made = builders.component(name, version, **spec)
        return rendered(made, builders.machine(), {}, builders.survey())

    def plan(
        self, wanted: Rendered, attempt: int = 1, found: Found | None = None, **after: str
    ) -> JobPlan:
        return component_jobs.component_job(
            OWNER.uid,
            wanted,
            found or Found(),
            attempt,
            base_url=f"file://{self.root}/artifacts",
            after=after,
            gone={},
        )

    def publish(self, path: str, content: str) -> str:
        """Serves an artifact; its SHA-256."""
        file = self.root / "artifacts" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return hashlib.sha256(content.encode()).hexdigest()

    async def work(self, *plans: JobPlan, owner: Owner = OWNER) -> list[JobResult]:
        await commands.work(self.connection, plans, owner, self._told, SystemClock())
        return [self.results[plan.id] for plan in plans]

    def _told(self, result: JobResult) -> None:
        self.results[result.id] = result

    async def look(self, *wanted: Rendered) -> Survey:
        questions = [Question(w.name, w.probe, tuple(f.path for f in w.files)) for w in wanted]
        return await commands.look(self.connection, questions, [], "", lambda: builders.NOW)


async def _connect(host: FakeHost) -> Connection:
    return await connect(_target(host), Timeouts())


def _target(host: FakeHost) -> Target:
    return Target(
        address="127.0.0.1",
        port=host.port,
        user="root",
        secret="a/b",
        credentials=Credentials(key=host.client),
        expected=Expected(host.fingerprint),
    )


def counting(site: Site, extra: str = "") -> dict[str, str]:
    """Scripts that note every run and install a version."""
    mark, log = site.root / "version", site.root / "runs"
    return {
        "probe": f"cat {mark} 2>/dev/null || true",
        "install": f"echo install >> {log}\n{extra}\necho {{{{ version }}}} > {mark}",
        "uninstall": f"rm -f {mark}; echo uninstall >> {log}",
    }


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def runs(site: Site) -> list[str]:
    log = site.root / "runs"
    return log.read_text().split() if log.exists() else []
