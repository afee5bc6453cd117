"""Jobs on a host, with the real scripts in real shells: once, in order, verified, never lost."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import signal
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.sshd import FakeHost, fake_host

from kok.operators.machine.component import component_jobs
from kok.operators.machine.component.render import Rendered, rendered
from kok.operators.machine.remote import commands, jobs
from kok.operators.machine.remote.commands import HostTaken
from kok.operators.machine.remote.hosts import HostClient
from kok.operators.machine.remote.jobs import JobPlan, JobResult
from kok.operators.machine.remote.session import HostMemory
from kok.operators.machine.remote.ssh import Connections, Credentials, Expected, Target, Timeouts
from kok.operators.machine.remote.ssh.connection import Connection
from kok.operators.machine.remote.ssh.errors import HostError
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


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with fake_host(tmp_path / "kok") as host:
        connection = await _connect(host)
        yield Site(host, connection, tmp_path)
        connection.close()


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


class Gate:
    """A place in a script where it waits for the test, and the test for it."""

    def __init__(self, site: Site) -> None:
        self._reached, self._gate = site.root / "reached", site.root / "gate"
        os.mkfifo(self._reached)
        os.mkfifo(self._gate)
        self.script = f"echo >{self._reached}; cat {self._gate}"

    async def reached(self) -> None:
        """Returns when the script has come here."""
        await asyncio.to_thread(self._reached.read_text)

    async def open(self) -> None:
        """Lets the script go on."""
        await asyncio.to_thread(self._gate.write_text, "go on\n")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def runs(site: Site) -> list[str]:
    log = site.root / "runs"
    return log.read_text().split() if log.exists() else []


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
    gate = Gate(site)
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
    gate = Gate(site)
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
    gate = Gate(site)
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
