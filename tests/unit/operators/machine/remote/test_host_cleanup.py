"""Whose a host is, and how all is taken away again, with the real scripts in real shells."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.fifos import Gate
from tests.unit.operators.machine.remote.job_site import (
    OWNER,
    Site,
    _target,
    counting,
    mode,
    runs,
)

from kok.operators.machine.component import component_jobs
from kok.operators.machine.remote import commands, jobs
from kok.operators.machine.remote.commands import HostTaken
from kok.operators.machine.remote.hosts import HostClient
from kok.operators.machine.remote.session import HostMemory
from kok.operators.machine.remote.ssh import Connections, Timeouts
from kok.operators.machine.remote.ssh.errors import HostError
from kok.operators.machine.remote.survey import Found, Owner
from kok.runtime.clock import SystemClock


async def test_a_host_serves_one_machine_only(site: Site) -> None:
    await site.work(site.plan(site.component(scripts=counting(site))))
    other = Owner("uid-2", "team-b/other", "team-b/blog", "meta-1")
    plan = component_jobs.component_job(
        other.uid, site.component(), Found(), 1, base_url="", after={}
    )
    with pytest.raises(HostTaken) as taken:
        await site.work(plan, owner=other)
    assert taken.value.owner == OWNER
    assert "serves a Machine of another namespace" in taken.value.message


async def test_removal_takes_all_away_in_reverse_order_and_frees_the_host(site: Site) -> None:
    order = site.root / "order"
    path = site.root / "base.conf"
    base = site.component(
        "base",
        scripts={"uninstall": f"echo base >> {order}"},
        files=[{"path": str(path), "content": "x"}],
    )
    top = site.component("top", scripts={"uninstall": f"echo top >> {order}"}, dependsOn=["base"])
    first = site.plan(base)
    await site.work(first, site.plan(top, base=first.id))
    (result,) = await site.work(jobs.removal_job(OWNER.uid, 1))
    assert result.exit == 0
    await commands.forget(site.connection, OWNER.uid)
    assert order.read_text().split() == ["top", "base"]
    assert not path.exists()
    assert not site.host.home.exists()
    other = Owner("uid-2", "team-b/other", "team-b/blog", "meta-1")
    await site.work(
        component_jobs.component_job(
            other.uid, site.component(), Found(), 1, base_url="", after={}
        ),
        owner=other,
    )


@pytest.mark.parametrize("order", ["", "\n", "1 2", "x"])
async def test_a_component_whose_number_was_lost_is_taken_away_all_the_same(
    site: Site, order: str
) -> None:
    lost = site.component("lost", scripts=counting(site))
    await site.work(site.plan(lost), site.plan(site.component("later", scripts=counting(site))))
    (site.host.home / "components/lost/order").write_text(order)
    (result,) = await site.work(jobs.removal_job(OWNER.uid, 1))
    assert result.exit == 0
    assert runs(site) == ["install", "install", "uninstall", "uninstall"]
    await commands.forget(site.connection, OWNER.uid)
    assert not site.host.home.exists()


async def test_no_host_is_given_away_with_a_component_on_it(site: Site) -> None:
    await site.work(site.plan(site.component(scripts=counting(site))))
    with pytest.raises(HostError, match="component tool was not taken away"):
        await commands.forget(site.connection, OWNER.uid)
    assert (site.host.home / "owner").exists()
    assert (await site.work(jobs.removal_job(OWNER.uid, 1)))[0].exit == 0


async def test_a_removal_that_left_something_after_all_is_done_again(site: Site) -> None:
    """A job that was on its way has begun its component after the removal had looked."""
    assert (await site.work(jobs.removal_job(OWNER.uid, HostMemory().removals)))[0].exit == 0
    home = site.host.home / "components/tool"
    home.mkdir(parents=True)
    (home / "uninstall").write_text(counting(site)["uninstall"])
    pool = Connections(Timeouts(), asyncio.get_running_loop().time)
    client = HostClient(
        pool, SystemClock(), OWNER.uid, _target(site.host), HostMemory(), lambda: None
    )
    with pytest.raises(HostError, match="component tool was not taken away"):
        await client.clean(OWNER)
    await client.clean(OWNER)
    assert runs(site) == ["uninstall"]
    assert not site.host.home.exists()
    pool.drop(OWNER.uid)


async def test_what_cannot_be_noted_is_not_begun(site: Site) -> None:
    home = site.host.home / "components/tool"
    (home / "order.new").mkdir(parents=True)
    (result,) = await site.work(site.plan(site.component(scripts=counting(site))))
    assert (result.exit, result.reason) == (1, "JobFailed")
    assert f"cannot write {home}/order: " in result.message
    assert runs(site) == []


async def test_removal_stops_an_installation_that_is_under_way(site: Site) -> None:
    gate = Gate(site.root)
    plan = site.plan(site.component(scripts=counting(site, gate.script)))
    waiting = asyncio.create_task(site.work(plan))
    await gate.reached()
    (result,) = await site.work(jobs.removal_job(OWNER.uid, 1))
    assert result.exit == 0
    assert (await waiting)[0].exit != 0
    assert runs(site) == ["install", "uninstall"]


async def test_a_failed_removal_says_what_is_left_and_can_be_tried_again(site: Site) -> None:
    allowed = site.root / "allowed"
    stubborn = site.component("stubborn", scripts={"uninstall": f"echo busy; test -e {allowed}"})
    easy = site.component("easy", scripts=counting(site))
    await site.work(site.plan(stubborn), site.plan(easy))
    (result,) = await site.work(jobs.removal_job(OWNER.uid, 1))
    assert result.message == "cannot uninstall stubborn: busy"
    assert runs(site) == ["install", "uninstall"]
    allowed.touch()
    assert (await site.work(jobs.removal_job(OWNER.uid, 2)))[0].exit == 0


async def test_a_single_component_can_be_taken_away(site: Site) -> None:
    await site.work(site.plan(site.component(scripts=counting(site))))
    (result,) = await site.work(jobs.uninstall_job(OWNER.uid, "tool", 2))
    assert result.exit == 0
    assert runs(site) == ["install", "uninstall"]
    assert not (await site.look()).found


async def test_scripts_and_jobs_are_for_root_alone(site: Site) -> None:
    await site.work(site.plan(site.component(scripts=counting(site))))
    assert mode(site.host.home) == 0o700
    assert mode(site.host.home / "owner") == 0o600


HOMES = [
    commands.Home("containerd", "true", ("containerd",)),
    commands.Home("kubelet", "true", ("kubelet",), ("/var/lib/kubelet pki pods",)),
]


async def test_a_host_that_is_adopted_bears_a_mark_and_nothing_else_is_touched(site: Site) -> None:
    for _ in range(2):
        # However often: an operator may be killed in between.
        await commands.adopt(site.connection, OWNER, HOMES, "")
    assert sorted(path.name for path in site.root.iterdir() if path != site.host.home) == []
    seen = await site.look()
    assert seen.owner == OWNER
    assert {n: (f.begun, f.recorded) for n, f in seen.found.items()} == {
        "containerd": (True, "adopted"),
        "kubelet": (True, "adopted"),
    }
    assert site.host.read("components/kubelet/order").strip() == "2"
    assert site.host.read("components/kubelet/remains").strip() == "/var/lib/kubelet pki pods"


async def test_what_another_machine_has_is_not_adopted_unless_that_one_is_gone(site: Site) -> None:
    await commands.adopt(site.connection, OWNER, HOMES[:1], "")
    other = Owner("uid-2", "team-a/other", "team-a/shop", "meta-1")
    with pytest.raises(HostTaken):
        await commands.adopt(site.connection, other, HOMES, "uid-3")
    assert (await site.look()).owner == OWNER
    await commands.adopt(site.connection, other, HOMES, OWNER.uid)
    assert (await site.look()).owner == other


async def test_a_component_that_was_adopted_becomes_ours_with_its_first_change(site: Site) -> None:
    top = site.root / "root"
    own = top / "etc/systemd/system/tool.service.d"
    packaged = top / "usr/lib/systemd/system/tool.service.d"
    for folder in (own, packaged):
        folder.mkdir(parents=True)
    (own / "20-own.conf").write_text("[Service]\nExecStart=\nExecStart=/usr/bin/tool\n")
    (own / "limits.conf").write_text("[Service]\nLimitNOFILE=1\n")
    (packaged / "10-package.conf").write_text("[Service]\nExecStart=\nExecStart=/usr/bin/tool\n")
    programs = site.root / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(f'#!/bin/sh\necho "$*" >>{site.root}/manager\n')
    (programs / "systemctl").chmod(0o755)
    home = commands.Home("tool", "true", ("tool",))
    await commands.adopt(site.connection, OWNER, [home], "")
    assert not (site.root / "manager").exists()
    tool = site.component(scripts=counting(site), services=["tool"])
    (result,) = await site.work(site.plan(tool))
    assert result.exit == 0, result
    assert (site.root / "manager").read_text().split() == ["daemon-reload"]
    assert sorted(path.name for path in own.iterdir()) == ["10-package.conf", "limits.conf"]
    assert (own / "10-package.conf").readlink() == Path("/dev/null")
    assert (site.host.home / "components/tool/aside/20-own.conf").exists()
    found = (await site.look(tool)).found["tool"]
    assert found.recorded == tool.config
    # The next change is one like any other, and in the end nothing hides what the package brings.
    (result,) = await site.work(site.plan(tool, attempt=2))
    assert result.exit == 0
    assert (site.root / "manager").read_text().split().count("daemon-reload") == 1
    (result,) = await site.work(jobs.removal_job(OWNER.uid, 1))
    assert result.exit == 0
    assert sorted(path.name for path in own.iterdir()) == ["limits.conf"]


async def test_a_released_host_keeps_what_runs_and_nothing_of_ours(site: Site) -> None:
    path = site.root / "tool.conf"
    tool = site.component(scripts=counting(site), files=[{"path": str(path), "content": "in use"}])
    await site.work(site.plan(tool))
    await commands.adopt(site.connection, OWNER, HOMES, "")
    for _ in range(2):
        # The second time there is no mark any more: whoever comes after a death finds it done.
        await commands.release(site.connection, OWNER.uid, token=False)
    assert runs(site) == ["install"]
    assert path.read_text() == "in use"
    assert not site.host.home.exists()


async def test_a_host_of_another_machine_is_not_released(site: Site) -> None:
    await commands.adopt(site.connection, OWNER, HOMES, "")
    with pytest.raises(HostTaken):
        await commands.release(site.connection, "uid-2", token=False)
    assert (await site.look()).owner == OWNER


async def test_a_job_that_runs_comes_to_its_end_before_its_host_is_released(site: Site) -> None:
    gate = Gate(site.root)
    plan = site.plan(site.component(scripts=counting(site, gate.script)))
    working = asyncio.create_task(site.work(plan))
    await gate.reached()
    releasing = asyncio.create_task(commands.release(site.connection, OWNER.uid, token=False))
    await gate.open()
    await releasing
    working.cancel()
    assert (site.root / "version").read_text().strip() == "1.0"
    assert not site.host.home.exists()
