"""An etcd whose own authentication is on: told as it is, looked after, backed up, proven, restored."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from tests.integration.operators.etcd.backups.builders import BACKUP, ask, until_phase, verified
from tests.integration.operators.etcd.backups.test_restores import (
    backed_up,
    endpoint,
    restore,
    until_restore,
)
from tests.integration.operators.etcd.conftest import ETCD, Tune, World, at_rest, condition
from tests.integration.operators.etcd.container import program
from tests.integration.operators.etcd.standin import StandIn

from kok.operators.etcd.naming import ANNOTATION_VERIFY
from kok.runtime.process.main import Process

PASSWORD = "of a test"


class Root:
    """etcd's user `root`, who comes with the clients' certificate and a password."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        self.directory = directory
        self.user: tuple[str, ...] = ()

    async def ctl(self, address: str, *words: str) -> str:
        """What etcdctl says."""
        credentials = await self.world.credentials()
        files = {"tls.crt": credentials.certificate, "tls.key": credentials.key}
        for name, content in files.items():
            (self.directory / name).write_bytes(content)
        command = [
            *(program("3.6.10", "etcdctl"), "--endpoints", address),
            *("--cert", "tls.crt", "--key", "tls.key", "--insecure-skip-tls-verify"),
            *(*self.user, *words),
        ]
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=self.directory, check=True, capture_output=True, text=True
        )
        return done.stdout

    async def enable(self, address: str) -> None:
        """From here on etcd serves only users."""
        await self.ctl(address, "user", "add", f"root:{PASSWORD}")
        await self.ctl(address, "user", "grant-role", "root", "root")
        await self.ctl(address, "auth", "enable")
        self.user = ("--user", f"root:{PASSWORD}")


@pytest.fixture
def root(world: World, tmp_path: Path) -> Root:
    """See `Root`."""
    return Root(world, tmp_path)


async def test_without_the_role_it_is_told_and_with_it_all_goes_its_usual_way(
    etcd_operator: Process,
    standin: StandIn,
    world: World,
    root: Root,
    tune: Tune,
) -> None:
    tune(look_healthy=0.5)
    await backed_up(world, standin)
    await root.enable(endpoint(standin, "e-0"))

    told = await world.until_ready(
        reason="AuthenticationOn", says=["user grant-role etcd-client root"]
    )

    assert condition(told, "Available")["status"] == "True", "clients are served"
    assert condition(told)["status"] == "Unknown"
    await ask(world, "waits")
    words = "the user etcd-client needs the role root"
    await world.until(lambda m: words in condition(m).get("message", ""), "waits", BACKUP)

    await root.ctl(endpoint(standin, "e-0"), "user", "add", "etcd-client", "--no-password")
    await root.ctl(endpoint(standin, "e-0"), "user", "grant-role", "etcd-client", "root")

    await world.until_ready()
    done = await until_phase(world, "Complete", "waits")
    assert done["status"]["keys"] == 6
    await world.annotate(ANNOTATION_VERIFY, "now", "waits", BACKUP)
    proven = await world.until(lambda m: verified(m) in {"Passed", "Failed"}, "waits", BACKUP)
    assert "6 keys and hash are as recorded" in proven["status"]["verification"]["message"]

    await root.ctl(endpoint(standin, "e-0"), "del", "k0")
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"members": 3}})
    await world.until(at_rest(3))
    await restore(world, backup="waits")
    await until_restore(world, "Complete")
    found = await world.until(at_rest(3))
    there = endpoint(standin, found["status"]["members"][0]["name"])
    assert "k0" in await root.ctl(there, "get", "k", "--prefix", "--keys-only")
