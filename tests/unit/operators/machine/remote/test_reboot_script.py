"""Boots of a host, by the real scripts in real shells; what would go down is a program that notes it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.unit.operators.machine.remote.job_site import OWNER, Site, counting

from kok.operators.machine.remote import commands
from kok.operators.machine.remote.ssh import ScriptFailed

WHY = "it's the kernel's turn"


async def ask(site: Site) -> str:
    """A component asks for a boot; which boot that is."""
    scripts = counting(site, f'echo "{WHY}" >"$KOK_REBOOT"')
    wanted = site.component(scripts=scripts)
    assert (await site.work(site.plan(wanted)))[0].exit == 0
    seen = await site.look(wanted)
    assert dict(seen.reboots) == {"tool": WHY}
    return seen.boot


def boots(site: Site) -> int:
    noted = site.root / "boots"
    return len(noted.read_text().split()) if noted.exists() else 0


@pytest.fixture
def power(site: Site, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `systemctl` that notes that the host was to boot; nothing goes down by that, nor soon."""
    # Here, and not by PATH alone, which scripts set anew: nothing else is to be asked for a boot.
    programs = site.host.home.parent / "bin"
    programs.mkdir(exist_ok=True)
    for name, text in (
        ("systemctl", f"case $* in *reboot) echo boot >>{site.root}/boots ;; esac"),
        ("sleep", f'[ "$1" = 75 ] || exec {shutil.which("sleep")} "$@"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return programs


async def test_what_a_script_asks_for_is_told_until_the_host_boots(site: Site) -> None:
    boot = await ask(site)
    assert boot
    assert (await site.look()).boot == boot
    # What lies there a boot takes away.
    for file in sorted((site.host.home / "boot").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    after = await site.look()
    assert (after.boot, dict(after.reboots)) == ("", {})


async def test_a_mark_of_another_kernels_boot_counts_for_nothing(site: Site) -> None:
    """As where /run is no place that a boot empties."""
    await ask(site)
    known = site.host.home / "boot/id"
    known.write_text(f"0000 {known.read_text().split()[1]}\n")
    assert dict((await site.look()).reboots) == {}


@pytest.mark.usefixtures("power")
async def test_a_host_is_booted_in_that_boot_and_in_no_other(site: Site) -> None:
    boot = await ask(site)
    await commands.reboot(site.connection, OWNER.uid, "another")
    assert boots(site) == 0
    with pytest.raises(ScriptFailed, match="has not gone down"):
        await commands.reboot(site.connection, OWNER.uid, boot)
    assert boots(site) == 1


async def test_a_file_system_that_hangs_keeps_no_host_from_its_boot(
    site: Site, power: Path
) -> None:
    boot = await ask(site)
    (power / "sync").write_text(f"#!/bin/sh\nsleep 30\n: >{site.root}/synced\n")
    (power / "sync").chmod(0o755)
    with pytest.raises(ScriptFailed, match="has not gone down"):
        await commands.reboot(site.connection, OWNER.uid, boot)
    assert boots(site) == 1
    assert not (site.root / "synced").exists()


@pytest.mark.usefixtures("power")
async def test_a_host_that_goes_down_is_not_told_again(site: Site) -> None:
    boot = await ask(site)
    (site.host.home / "boot/rebooting").touch()
    with pytest.raises(ScriptFailed):
        await commands.reboot(site.connection, OWNER.uid, boot)
    assert boots(site) == 0


@pytest.mark.usefixtures("power")
async def test_a_host_of_somebody_else_is_not_booted(site: Site) -> None:
    boot = await ask(site)
    with pytest.raises(commands.HostTaken):
        await commands.reboot(site.connection, "uid-of-another", boot)
    assert boots(site) == 0
