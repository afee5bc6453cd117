"""Backups with a real etcd and a real S3 server, and a proxy between that fails on command.

plain    (session)  a single etcd of some 12 MiB, without TLS
s3       (session)  versitygw with TLS under a private CA
bucket   (test)     an empty bucket's name
desk     (test)     all of it at hand: paths of the worker, specs, and how to run commands
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from e2e.faults.s3proxy import Proxy, served
from e2e.lab.services.s3 import S3
from e2e.polling import eventually
from tests.integration.backup.servers import (
    HOST,
    LIMIT,
    Etcd,
    etcd,
    fill,
    find_versitygw,
    versitygw,
)

from kok.backup import spec
from kok.backup.commands.member import Member
from kok.backup.main import perform
from kok.backup.paths import ROOT_VARIABLE, WorkerPaths
from kok.backup.reasons import Reason
from kok.backup.report import BackupResult, Report
from kok.backup.stores.s3 import http

KEY = "team-a/shop/20260102T030405Z-one.snapshot"
WHOLE: dict[str, Any] = {"method": "PUT", "ending": KEY}
"""The request that takes a whole backup; a store that refuses it gets parts."""
STALL = 20.0
ROOT = Path(__file__).parents[3]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """An etcd with enough in it for three parts of an upload."""
    with etcd(tmp_path_factory.mktemp("etcd"), tls=False) as one:

        async def filled() -> None:
            access = spec.EtcdAccess(endpoint=one.endpoint)
            async with Member(access, None, stall=STALL) as member:
                await fill(member, 12, 1024**2)
                await fill(member, 100, 100)

        asyncio.run(filled())
        yield one


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """The S3 server."""
    with versitygw(tmp_path_factory.mktemp("s3"), find_versitygw()) as one:
        yield one


@pytest.fixture
def bucket(s3: S3) -> Iterator[str]:
    """An empty bucket."""
    name = f"bucket-{next(_numbers)}"
    s3.make_bucket(name)
    yield name
    s3.remove_bucket(name)


@pytest.fixture
async def proxy(s3: S3, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """A proxy before the S3 server that fails on command; the worker's delays are short."""
    monkeypatch.setattr(http, "_BACKOFF", 0.001)
    async with served(s3, HOST) as one:
        yield one


@dataclass
class Desk:
    """What a test of the worker needs."""

    paths: WorkerPaths
    s3: S3
    bucket: str

    def secret(self, path: object, name: str, content: bytes | str) -> None:
        """Puts a file where a Secret is mounted."""
        file = self.paths.below(str(path)) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def store(self, endpoint: str | None = None, **changes: Any) -> spec.S3Store:
        """The bucket as a store."""
        return spec.S3Store(
            endpoint=endpoint or self.s3.endpoint,
            region=self.s3.region,
            bucket=self.bucket,
            prefix="kok",
            custom_ca=True,
        ).model_copy(update=changes)

    def backup(
        self, etcd: Etcd | str, store: spec.Store | None = None, **changes: Any
    ) -> dict[str, Any]:
        """The spec of a backup in JSON's terms."""
        endpoint = etcd if isinstance(etcd, str) else etcd.endpoint
        return {
            "etcd": {"endpoint": endpoint},
            "store": (store or self.store()).manifest(),
            "key": KEY,
            "origin": {"namespace": "team-a", "name": "shop", "backupUID": "uid-1"},
            "limits": {"deadline": 60, "stall": STALL},
            **changes,
        }

    async def run(self, command: spec.Command, given: dict[str, Any]) -> Report:
        """A command's report."""
        return await perform(command, json.dumps(given), self.paths)

    async def stored(self, given: dict[str, Any]) -> BackupResult:
        """A backup that went well."""
        report = await self.run("backup", given)
        assert report.backup is not None, report.failure
        return report.backup

    async def fails(self, command: spec.Command, given: dict[str, Any]) -> tuple[Reason, str]:
        """Why a command failed: reason and sentence."""
        report = await self.run(command, given)
        assert report.failure is not None
        return report.failure.reason, report.failure.message

    async def nothing_stored(self) -> bool:
        """Whether the bucket holds neither objects nor unfinished uploads."""
        return await self.nothing_unfinished() and not self.s3.objects(self.bucket)

    async def nothing_unfinished(self) -> bool:
        """Whether the bucket holds no unfinished uploads.

        The server needs a moment to notice that a connection broke and what it sent is void.
        """
        with contextlib.suppress(TimeoutError):
            await eventually(lambda: not self.s3.unfinished(self.bucket), LIMIT)
        return not self.s3.unfinished(self.bucket)

    @property
    def object(self) -> str:
        """The key of the backup in the bucket."""
        return f"kok/{KEY}"

    async def process(
        self, command: str, given: dict[str, Any], *before: str
    ) -> asyncio.subprocess.Process:
        """The command as its container runs it, after what stands `before` it."""
        self.paths.termination_message.parent.mkdir(parents=True, exist_ok=True)
        return await asyncio.create_subprocess_exec(
            *(*before, sys.executable, "-c", "from kok.cli.main import app; app()"),
            *("etcd-worker", command),
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": str(ROOT / "src"),
                ROOT_VARIABLE: str(self.paths.root),
                spec.SPEC_VARIABLE: json.dumps(given),
            },
            stdout=asyncio.subprocess.PIPE,
        )

    def report(self) -> Report:
        """What a process left as its termination message."""
        text = self.paths.termination_message.read_text()
        assert len(text.encode()) <= 4096
        found = Report.parse(text)
        assert found is not None, text
        return found


@pytest.fixture
def desk(s3: S3, bucket: str, tmp_path: Path) -> Iterator[Desk]:
    """See `Desk`; the store's Secrets are mounted, and the volumes are there."""
    one = Desk(WorkerPaths(tmp_path), s3, bucket)
    one.secret(spec.S3_CREDENTIALS, spec.S3_ACCESS_KEY_ID, s3.access_key)
    one.secret(spec.S3_CREDENTIALS, spec.S3_SECRET_ACCESS_KEY, s3.secret_key + "\n")
    one.secret(spec.S3_CA, spec.S3_CA_FILE, s3.ca)
    for volume in (spec.DIRECTORY, spec.VOLUME):
        one.paths.below(volume).mkdir(parents=True)
    yield one
    shutil.rmtree(tmp_path, ignore_errors=True)


async def until_hit(proxy: Proxy, times: int = 1) -> None:
    """Returns when faults befell so many requests."""
    await until(proxy, lambda: proxy.hits >= times)


async def until(proxy: Proxy, true: Callable[[], bool]) -> None:
    """Returns when something is true that changes as requests come and go."""
    async with asyncio.timeout(LIMIT):
        await proxy.until(true)


def content(path: str) -> bytes:
    """What is in a file that a report names."""
    return Path(path).read_bytes()


def names(folder: Path) -> list[str]:
    """The files in a folder."""
    return sorted(file.name for file in folder.iterdir())
