"""Ways to hosts: by a bastion, and by a user whom sudo asks for a password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncssh
from tests.integration.operators.machine.conftest import MACHINE, World
from tests.integration.operators.machine.test_hosts import prepared, runs, scripts
from tests.unit.operators.machine.sshd import FakeHost, fake_host

from kok.kube import kinds
from kok.runtime.process.main import Process

FINALIZER = "kok.dev/ssh-credentials"


async def held(world: World, name: str) -> bool:
    """Whether a Secret is kept for a clean-up."""
    secret = await world.get(kinds.SECRET, name)
    return secret is not None and FINALIZER in (secret["metadata"].get("finalizers") or ())


async def test_a_host_behind_a_bastion_is_prepared_and_cleaned_up(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    async with fake_host(tmp_path / "gate") as gate:
        gate.passes_on = True
        await world.key_of(host)
        await world.secret("gate-ssh", ssh_privatekey=gate.client.export_private_key())
        await world.component("tool", scripts=scripts(tmp_path))
        jump: dict[str, Any] = {
            "address": "127.0.0.1",
            "port": gate.port,
            "user": "jump",
            "secret": "gate-ssh",
            "hostKey": asyncssh.generate_private_key("ssh-ed25519").get_fingerprint("sha256"),
        }
        await world.machine(
            host, "tool-1.0", ssh={"user": "root", "secret": "ops-ssh", "jump": jump}
        )
        text = await world.reason(MACHINE, "w1", "HostKeyChanged")
        assert text.startswith(f"bastion 127.0.0.1 port {gate.port} shows key {gate.fingerprint}")
        assert (gate.logins, host.logins) == ([], [])
        right = {"hostKey": gate.fingerprint}
        await world.patch(MACHINE, "w1", spec={"ssh": {"jump": right}})
        made = await world.until(MACHINE, "w1", prepared, "prepared")
        assert made["status"]["hostKey"] == host.fingerprint, "seen behind the bastion"
        assert (runs(tmp_path), gate.scripts) == (["install"], 0)
        assert await held(world, "gate-ssh")

        await world.kube.delete(MACHINE, "w1", world.namespace)
        await world.gone(MACHINE, "w1")
        assert runs(tmp_path) == ["install", "uninstall"]
        assert not await held(world, "gate-ssh")


async def test_sudo_gets_its_password_from_the_secret(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    host.sudo_password = "s3cret"
    key = host.client.export_private_key()
    await world.secret("ops-ssh", ssh_privatekey=key)
    await world.component("tool", scripts=scripts(tmp_path))
    await world.machine(host, "tool-1.0", ssh={"user": "ops", "secret": "ops-ssh"})
    assert 'key "sudo-password"' in await world.reason(MACHINE, "w1", "SudoRefused")
    await world.secret("ops-ssh", ssh_privatekey=key, sudo_password="s3cret")
    made = await world.until(MACHINE, "w1", prepared, "prepared")
    assert runs(tmp_path) == ["install"]
    assert set(host.passwords) == {"s3cret"}
    assert "s3cret" not in str(made)
