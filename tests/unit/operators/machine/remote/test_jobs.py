"""Jobs on a host, with the real scripts in real shells: once, in order, verified, never lost."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from base64 import b64encode

import pytest
from tests.fifos import Gate
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.remote.job_site import (
    OWNER,
    Site,
    _connect,
    counting,
    mode,
    runs,
)

from kok.operators.machine.component import component_jobs
from kok.operators.machine.component.render import rendered
from kok.operators.machine.remote import jobs
from kok.operators.machine.remote.commands import HostTaken
from kok.operators.machine.remote.jobs import JobPlan, JobResult
from kok.operators.machine.remote.survey import Found


async def test_a_component_is_installed_and_then_found_as_wanted(site: Site) -> None:
    path = site.root / "etc/tool.conf"
    wanted = site.component(
        scripts=counting(site), files=[{"path": str(path), "mode": "0640", "content": "a = 1\n"}]
    )
    (result,) = await site.work(site.plan(wanted))
    assert (result.exit, result.reason) == (0, "Done")
    seen = await site.look(wanted)
    assert wanted.right(seen.found["tool"])
    assert seen.owner == OWNER
    assert (path.read_text(), mode(path)) == ("a = 1\n", 0o640)


async def test_the_same_job_runs_once_however_often_it_is_started(site: Site) -> None:
    plan = site.plan(site.component(scripts=counting(site)))
    await asyncio.gather(*(site.work(plan) for _ in range(4)))
    assert (await site.work(plan))[0].exit == 0
    assert runs(site) == ["install"]


async def test_of_two_machines_that_claim_a_host_at_once_one_gets_it(site: Site) -> None:
    site.host.home.mkdir(exist_ok=True)
    (site.host.home / "owner").touch()  # what a power cut left
    wanted = site.component(scripts=counting(site))

    async def work(uid: str) -> list[JobResult]:
        plan = component_jobs.component_job(uid, wanted, Found(), 1, base_url="", after={})
        return await site.work(plan, owner=dataclasses.replace(OWNER, uid=uid))

    ends = await asyncio.gather(*(work(f"uid-{n}") for n in range(6)), return_exceptions=True)
    assert sum(isinstance(end, HostTaken) for end in ends) == 5
    assert runs(site) == ["install"]


async def test_a_job_outlives_its_session_and_is_met_again(site: Site) -> None:
    gate = Gate(site.root)
    plan = site.plan(site.component(scripts=counting(site, gate.script)))
    waiting = asyncio.create_task(site.work(plan))
    await gate.reached()
    # What happens when the operator is killed: the connection is gone without a word.
    site.connection.close()
    await asyncio.gather(waiting, return_exceptions=True)
    site.connection = await _connect(site.host)
    again = asyncio.create_task(site.work(plan))
    await gate.open()
    assert (await again)[0].exit == 0
    assert runs(site) == ["install"]


async def test_a_killed_job_counts_as_lost_and_is_not_run_again_under_its_name(site: Site) -> None:
    gate = Gate(site.root)
    plan = site.plan(site.component(scripts=counting(site, gate.script)))
    waiting = asyncio.create_task(site.work(plan))
    await gate.reached()
    os.killpg(int(site.host.read(f"jobs/{plan.id}/started")), signal.SIGKILL)
    (result,) = await waiting
    assert (result.ended, result.reason) == (True, "JobLost")
    assert (await site.work(plan))[0].reason == "JobLost"
    assert runs(site) == ["install"]


async def test_a_wrong_checksum_installs_nothing_and_names_both_sums(site: Site) -> None:
    right = site.publish("tool/1.0/tool.tgz", "the real thing")
    artifact = {"name": "tool", "path": "tool/1.0/tool.tgz", "sha256": "0" * 64}
    wanted = site.component(scripts=counting(site), artifacts=[artifact])
    (result,) = await site.work(site.plan(wanted))
    assert result.reason == "ChecksumMismatch"
    assert result.message.endswith(
        f"/tool/1.0/tool.tgz has SHA-256 {right} but {'0' * 64} is expected; nothing was installed"
    )
    assert runs(site) == []
    assert list((site.host.home / "cache").iterdir()) == []
    mended = site.component(scripts=counting(site), artifacts=[{**artifact, "sha256": right}])
    assert (await site.work(site.plan(mended, attempt=2)))[0].exit == 0


async def test_scripts_find_their_artifacts_and_leave_none_behind(site: Site) -> None:
    digest = site.publish("tool/tool-bin", "echo I run\n")
    scripts = counting(site, f"cp $KOK_ARTIFACT_MY_TOOL {site.root}/tool")
    artifact = {"name": "my-tool", "path": "tool/tool-bin", "sha256": digest}
    wanted = site.component(scripts=scripts, artifacts=[artifact])
    assert (await site.work(site.plan(wanted)))[0].exit == 0
    assert (site.root / "tool").read_text() == "echo I run\n"
    assert list((site.host.home / "cache").iterdir()) == []


async def test_what_cannot_be_fetched_is_named(site: Site) -> None:
    artifact = {"name": "tool", "path": "gone.tgz", "sha256": "0" * 64}
    wanted = site.component(scripts=counting(site), artifacts=[artifact])
    (result,) = await site.work(site.plan(wanted))
    assert result.reason == "DownloadFailed"
    assert f"cannot fetch file://{site.root}/artifacts/gone.tgz: curl: (37)" in result.message
    assert runs(site) == []


async def test_dependencies_come_first_although_all_start_at_once(site: Site) -> None:
    order = site.root / "order"
    base = site.component("base", scripts={"install": f"sleep 0.3; echo base >> {order}"})
    top = site.component("top", scripts={"install": f"echo top >> {order}"}, dependsOn=["base"])
    first = site.plan(base)
    await site.work(site.plan(top, base=first.id), first)
    assert order.read_text().split() == ["base", "top"]


async def test_a_restarted_operator_leaves_what_a_job_still_has_to_see(site: Site) -> None:
    gate = Gate(site.root)
    slow = site.plan(site.component("a-slow", scripts={"install": gate.script}))
    quick = site.plan(site.component("quick", scripts={"install": "true"}))
    top = site.component("top", scripts=counting(site), dependsOn=["a-slow", "quick"])
    needs = {"a-slow": slow.id, "quick": quick.id}
    assert (await site.work(quick))[0].exit == 0
    waiting = asyncio.create_task(site.work(quick, slow, site.plan(top, **needs)))
    await gate.reached()
    site.connection.close()
    await asyncio.gather(waiting, return_exceptions=True)
    site.connection = await _connect(site.host)
    # To the next operator the quick one is there, and nothing is wanted of its job any more.
    again = asyncio.create_task(site.work(slow, site.plan(top, **{"a-slow": slow.id})))
    await gate.open()
    assert [result.exit for result in await again] == [0, 0]
    assert runs(site) == ["install"]


async def test_a_failed_dependency_stops_what_needs_it(site: Site) -> None:
    base = site.component("base", scripts={"install": "echo out of luck; exit 3"})
    top = site.component("top", scripts=counting(site), dependsOn=["base"])
    first = site.plan(base)
    failed, stopped = await site.work(first, site.plan(top, base=first.id))
    assert (failed.exit, failed.reason) == (3, "JobFailed")
    assert failed.message == "script install ended with code 3: out of luck"
    assert "out of luck" in failed.log
    assert stopped.reason == "DependencyFailed"
    assert stopped.message == "base, which has to be there before, could not be installed"
    assert runs(site) == []


async def test_a_job_that_takes_too_long_is_stopped(site: Site) -> None:
    wanted = site.component(scripts={"install": "sleep 60"}, timeout="1s")
    (result,) = await site.work(site.plan(wanted))
    assert result.reason == "JobTimedOut"


async def test_an_installation_that_the_probe_does_not_find_failed(site: Site) -> None:
    wanted = site.component(scripts={"probe": "echo 0.9", "install": "true"})
    (result,) = await site.work(site.plan(wanted))
    assert result.reason == "NotAsWanted"
    assert result.message == "the scripts went through but the probe finds 0.9 instead of 1.0"
    assert not wanted.right((await site.look(wanted)).found["tool"])


async def test_other_files_are_followed_by_a_restart_not_by_an_installation(site: Site) -> None:
    scripts = counting(site) | {"restart": f"echo restart >> {site.root}/runs"}
    file = {"path": str(site.root / "tool.conf"), "content": "a"}
    before = site.component(scripts=scripts, files=[file])
    await site.work(site.plan(before))
    after = site.component(scripts=scripts, files=[{**file, "content": "b"}])
    found = (await site.look(after)).found["tool"]
    assert not after.right(found)
    plan = site.plan(after, 2, found)
    assert plan.action == "restart"
    await site.work(plan)
    assert runs(site) == ["install", "restart"]
    assert (site.root / "tool.conf").read_text() == "b"


async def test_a_restart_that_did_not_get_through_is_made_up_for(site: Site) -> None:
    restart = f"echo restart >> {site.root}/runs; test -e {site.root}/works"
    scripts = counting(site) | {"restart": restart}
    file = {"path": str(site.root / "tool.conf"), "content": "a"}
    await site.work(site.plan(site.component(scripts=scripts, files=[file])))
    after = site.component(scripts=scripts, files=[{**file, "content": "b"}])
    found = (await site.look(after)).found["tool"]
    assert (await site.work(site.plan(after, 2, found)))[0].exit == 1
    (site.root / "works").touch()
    found = (await site.look(after)).found["tool"]
    # The file is right by now; that it was not followed by a restart is not forgotten.
    assert (await site.work(site.plan(after, 3, found)))[0].exit == 0
    assert runs(site) == ["install", "restart", "restart"]


async def test_files_that_are_no_longer_wanted_go(site: Site) -> None:
    one, two = ({"path": str(site.root / n), "content": n} for n in ("one", "two"))
    scripts = counting(site) | {"restart": "true"}
    await site.work(site.plan(site.component(scripts=scripts, files=[one, two])))
    after = site.component(scripts=scripts, files=[two])
    await site.work(site.plan(after, 2, (await site.look(after)).found["tool"]))
    assert not (site.root / "one").exists()
    assert (site.root / "two").exists()


def test_a_circle_of_dependencies_is_named() -> None:
    one = rendered(
        builders.component("a", dependsOn=["b"]), builders.machine(), {}, builders.survey()
    )
    two = rendered(
        builders.component("b", dependsOn=["a"]), builders.machine(), {}, builders.survey()
    )
    with pytest.raises(ValueError, match="a and b depend on each other in a circle"):
        component_jobs.needed_first(["a", "b"], {"a": one, "b": two})


def test_secrets_that_scripts_print_are_masked() -> None:
    said = "JobFailed\ncurl: (22) https://mirror:hunter2@artifacts.example/tool refused"
    log = "token: abcdef0123456789\n"
    line = f"ended 1234 1 {b64encode(said.encode()).decode()} {b64encode(log.encode()).decode()}"
    result = jobs.parse_line(line)
    assert result
    assert result.message == "curl: (22) https://mirror:***@artifacts.example/tool refused"
    assert result.log == "token: ***\n"


def _after_removal(site: Site, removal: JobPlan) -> JobPlan:
    wanted = site.component("new", scripts=counting(site), services=["new"])
    return component_jobs.component_job(
        OWNER.uid, wanted, Found(), 1, base_url="", after={}, gone={"old": removal.id}
    )


async def test_what_makes_room_is_gone_before_the_other_begins(site: Site) -> None:
    await site.work(site.plan(site.component("old", scripts=counting(site))))
    removal = jobs.uninstall_job(OWNER.uid, "old", 1)
    # Whatever is started first.
    ends = await site.work(_after_removal(site, removal), removal)
    assert [end.exit for end in ends] == [0, 0]
    assert runs(site) == ["install", "uninstall", "install"]
    assert (site.host.home / "components/new/services").read_text() == "new\n"


async def test_what_cannot_make_room_holds_the_other_up(site: Site) -> None:
    scripts = {**counting(site), "uninstall": "echo it hangs; exit 3"}
    await site.work(site.plan(site.component("old", scripts=scripts)))
    removal = jobs.uninstall_job(OWNER.uid, "old", 1)
    stopped, failed = await site.work(_after_removal(site, removal), removal)
    assert failed.exit == 1
    assert stopped.reason == "DependencyFailed"
    assert stopped.message == "old, which has to go before, could not be removed"
    assert runs(site) == ["install"]
