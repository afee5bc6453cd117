"""What is tried of a host: the real jobs in real shells, beside what stands for systemd."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.operators.machine.remote.job_site import OWNER, Site
from tests.unit.operators.machine.remote.services import Services

from kok.operators.machine.machine.remediation import remedy_jobs

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.fixture
def services(site: Site) -> Services:
    return Services(site.host.home, "tool", "other")


async def test_services_are_started_one_after_the_other_also_ones_that_were_switched_off(
    site: Site, services: Services
) -> None:
    services.put("tool", "inactive", "dead", enabled="disabled")
    services.put("other", "inactive", "dead", enabled="masked")
    plan = remedy_jobs.restart_job(OWNER.uid, "one", ["tool", "other"], hung=False)
    (result,) = await site.work(plan)
    assert (result.exit, result.message) == (0, "")
    assert services.ran == [
        "enable tool",
        "restart tool",
        "unmask other",
        "enable other",
        "restart other",
    ]
    assert "UnitFileState=enabled" in (services.units / "other").read_text()


async def test_the_same_attempt_is_made_once(site: Site, services: Services) -> None:
    plan = remedy_jobs.restart_job(OWNER.uid, "one", ["tool"], hung=True)
    await site.work(plan)
    await site.work(plan)
    assert services.ran == ["restart tool"]


async def test_a_service_that_cannot_be_started_is_told(site: Site, services: Services) -> None:
    (services.units / "tool.broken").write_text("")
    plan = remedy_jobs.restart_job(OWNER.uid, "one", ["tool"], hung=False)
    (result,) = await site.work(plan)
    assert result.exit == 1
    assert "service tool cannot be started" in result.message


async def test_a_file_system_that_hangs_keeps_no_host_from_its_reboot(
    site: Site, services: Services
) -> None:
    sync = services.bin / "sync"
    sync.write_text(f"#!/bin/sh\n[ $# != 0 ] || {{ sleep 30; : >{site.root}/synced; }}\n")
    sync.chmod(0o755)
    (result,) = await site.work(remedy_jobs.reboot_job(OWNER.uid, "one", BOOT))
    assert (result.exit, services.ran) == (0, ["reboot"])
    assert not (site.root / "synced").exists()


async def test_a_host_is_rebooted_unless_it_has_been_since(site: Site, services: Services) -> None:
    (result,) = await site.work(remedy_jobs.reboot_job(OWNER.uid, "one", "an earlier boot"))
    assert (result.exit, services.ran) == (0, [])
    (result,) = await site.work(remedy_jobs.reboot_job(OWNER.uid, "two", BOOT))
    assert (result.exit, services.ran) == (0, ["reboot"])
