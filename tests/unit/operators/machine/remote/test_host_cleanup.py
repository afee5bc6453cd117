"""Whose a host is, and how all is taken away again, with the real scripts in real shells."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.operators.machine.remote.job_site import (
    OWNER,
    Gate,
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
    gate = Gate(site)
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
