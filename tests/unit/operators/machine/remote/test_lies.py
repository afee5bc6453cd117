"""What a host makes of the operator by one answer, whatever it says: little work, little memory, a
status of a few KiB."""

from __future__ import annotations

import asyncio
import base64
import os
import pickle
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.sshd import fake_host
from tests.unit.operators.machine.views import ACCESS, NODE, machine_view, observed, seen

from kok.operators.machine.machine import decide, record
from kok.operators.machine.machine.conditions.report import report
from kok.operators.machine.machine.decide import Decision
from kok.operators.machine.machine.install_plan import SURPLUS
from kok.operators.machine.machine.operations.host_steps import Install, SurveyHost
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote import commands, jobs, join, preflight, survey, watching
from kok.operators.machine.remote.commands import EndpointUnreachable
from kok.operators.machine.remote.hosts import HostClient
from kok.operators.machine.remote.jobs import JobResult
from kok.operators.machine.remote.session import RESULTS, HostMemory
from kok.operators.machine.remote.ssh import (
    Connection,
    Connections,
    Credentials,
    Expected,
    HostSilent,
    ScriptFailed,
    Target,
    Timeouts,
)
from kok.operators.machine.remote.survey import Owner, Question, SurveyRequest
from kok.operators.machine.remote.watching import Watch
from kok.runtime.clock import FakeClock, SystemClock

ANSWER = 2**20
"""As much as is read of an answer."""
DIGEST = "ab" * 32


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


MANY = (
    *("fact {} x", "fact tool {}", "fact module {}", "fact unit {}", "fact port {}"),
    *("fact address 10.1.{}", "fact address 10.64.0.1%{}", "fact nameserver ::1%{}"),
    *("reach h{} password=x", "reach http://artifacts.example/{} no"),
    *("probe c{} 1", "record {}", "record c{} 1 x", "identity {} x", "{} x", "", "owner {}"),
    *(f"file c{{}} {DIGEST} 0644 /x", f"file kubelet {DIGEST} 0644 /x{{}}", "file kubelet {} 1 /x"),
)
"""Lines of a survey that a host can have thousands of, each with another number."""
LONG = (
    *(
        "fact hostname ",
        "fact os ",
        "fact machine ",
        "fact resolver ",
        "fact cpus 9",
        "fact route ",
    ),
    *("fact memoryKi 9", "fact disk 9", "fact time 9", "fact capabilities f", "fact swap 1"),
    *("fact tool ", "fact unit ", "fact port 1", "fact address 10.64.0.1%", "fact nameserver ::1%"),
    *("reach h", "reach http://artifacts.example/ ", "probe kubelet 1", "probe c", "record c"),
    *("record kubelet ", "file kubelet ", f"file kubelet {DIGEST} 0644 /x", "owner ", "identity "),
    *("identity server ", "identity ca ", "identity kubelet ", "identity failing kubelet "),
    *("identity certificate ", f"owner {encoded('uid=')}", f"owner {encoded('machine=aaa')}"),
)
"""Beginnings of lines that a host can make as long as it likes."""


def many(line: str) -> str:
    lines, size, at = [], 0, 0
    while size < ANSWER:
        lines.append(line.format(f"{at:x}"))
        size += len(lines[-1]) + 1
        at += 1
    return "\n".join(lines)[:ANSWER]


def long(line: str) -> str:
    return line + line[-1:].strip().ljust(1, "a") * (ANSWER - len(line))


ANSWERS = {
    **{f"many: {line}": many(line) for line in MANY},
    **{f"long: {line}": long(line) for line in LONG},
    "many: of an owner": f"owner {encoded(many('{}=x'))}"[:ANSWER],
}


def judged(answer: str, *, mine: bool, whole: bool) -> tuple[HostMemory, MachineView, Decision]:
    """An answer through all that a pass makes of it, beside or in place of what is true."""
    machine = builders.machine()
    memory = seen(machine, mine=mine)
    before = memory.survey
    assert before is not None
    look = decide.decide(machine_view(machine)).step
    assert isinstance(look.call, SurveyHost)
    told = survey.parse(answer, NOW).of(look.call.request.questions, look.call.request.urls)
    if not whole:
        told = replace(
            told,
            facts={**before.facts, **told.facts},
            tools=before.tools | told.tools,
            modules=before.modules | told.modules,
            owner=Owner() if not mine else before.owner,
            found={**before.found, **told.found},
        )
    memory.survey, memory.identity = told, told.identity
    made = machine_view(machine, memory, objects=observed(node=NODE))
    decision = decide.decide(made)
    record.facts(made.status, made, decision)
    report(made.status, made, decision)
    return memory, made, decision


@pytest.fixture(scope="module")
def usual() -> float:
    """Seconds of processor time for as many empty lines, which mean nothing."""
    began = time.process_time()
    judged("\n" * ANSWER, mine=True, whole=False)
    return time.process_time() - began


@pytest.mark.parametrize(("mine", "whole"), [(True, False), (False, True)])
@pytest.mark.parametrize("named", sorted(ANSWERS))
def test_one_answer_makes_little(named: str, usual: float, *, mine: bool, whole: bool) -> None:
    """One of 80,000 invented components took 12 s of the operator and 1.3 GB."""
    began = time.process_time()
    memory, made, decision = judged(ANSWERS[named], mine=mine, whole=whole)
    assert time.process_time() - began < 5 * usual
    assert len(pickle.dumps((memory.survey, memory.identity))) < 2**17
    assert len(made.status.model_dump_json()) < 2**14
    if isinstance(decision.step.call, Install):
        assert sum(len(p.script) for p in decision.step.call.plans) < 2**19


def test_what_is_no_longer_wanted_goes_a_few_at_a_time() -> None:
    machine = builders.machine()
    memory = seen(machine)
    assert memory.survey is not None
    left = [f"old-{at:02}" for at in range(40)]
    removed: list[str] = []
    while len(removed) < len(left):
        told = survey.parse("\n".join(f"record {n} 1 x" for n in left if n not in removed), NOW)
        found = {**seen(machine).survey.found, **told.found}  # type: ignore[union-attr]
        memory.survey = replace(memory.survey, found=found)
        step = decide.decide(machine_view(machine, memory)).step
        assert isinstance(step.call, Install)
        assert 0 < len(step.call.plans) <= SURPLUS
        removed += [p.component for p in step.call.plans]
    assert removed == left


@pytest.mark.parametrize("name", ["../../etc", "A", "-a", "a" * 64, "a;reboot", "a\tb", ""])
def test_a_name_that_no_component_can_have_is_left_out(name: str) -> None:
    assert survey.parse(f"record {name} 1 x\nprobe {name} 1", NOW).found == {}


def test_an_error_is_not_lost_among_many_warnings() -> None:
    registries = {f"https://a{at}.example/v2/": "no answer" for at in range(20)}
    told = {**registries, "http://artifacts.example/": "no answer"}
    memory = seen(complete=False, unreachable=told)
    assert memory.survey is not None
    found = preflight.findings(
        preflight.PreflightInput(
            memory.survey,
            {"kubelet": {}},
            {},
            True,
            False,
            base_url="http://artifacts.example",
        )
    )
    assert [(f.check, f.level) for f in found][:1] == [("Artifacts", "Error")]
    assert found[-1].message == "and 13 more of this kind"
    assert len(found) == preflight.EACH + 1
    assert preflight.sentence(found[1:]).endswith("; 3 more in status.preflight")


def test_what_is_said_of_a_job_is_cut_after_secrets_are_masked() -> None:
    said = encoded("JobFailed\n" + "x" * 10_000)
    log = encoded("password=geheim " + "y" * 10_000 + " the end")
    ended = jobs.parse_line(f"ended j 1 {said} {log}")
    step = jobs.parse_line(f"running j {encoded('z' * 10_000)}")
    lost = jobs.parse_line(f"lost j {log}")
    assert ended is not None
    assert step is not None
    assert lost is not None
    assert max(len(ended.message), len(ended.log), len(step.step), len(lost.log)) <= 4096
    assert ended.log.endswith("the end")


def test_a_host_whose_jobs_fail_for_ever_is_not_remembered_for_ever() -> None:
    memory = HostMemory()
    for at in range(2 * RESULTS):
        memory.heard_of(f"j{at}", JobResult(f"j{at}"))
        memory.heard_of("j0", JobResult("j0", 0))
    assert len(memory.jobs) == RESULTS
    assert memory.jobs["j0"].exit == 0
    assert f"j{2 * RESULTS - 1}" in memory.jobs


async def test_of_a_host_only_what_was_asked_for_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its programs print lines that look like ours."""
    file = tmp_path / "asked"
    file.write_text("x")
    lies = f"x\nreach http://elsewhere.example/ no\nfile tool {DIGEST} 0644 /etc/other"
    (tmp_path / "uname").write_text(f"#!/bin/sh\nprintf '{lies}\n'\n")
    (tmp_path / "uname").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    async with fake_host(tmp_path / "kok") as host:
        key, expected = Credentials(key=host.client), Expected(host.fingerprint)
        target = Target("127.0.0.1", host.port, "root", "a/b", key, expected)
        pool = Connections(Timeouts(), asyncio.get_running_loop().time)
        client = HostClient(pool, SystemClock(), "uid-1", target, HostMemory(), lambda: None)
        asked = Question("tool", "echo 1", (str(file),))
        await client.look(SurveyRequest((asked,), ("http://127.0.0.1:1/",), "", "d"))
        pool.drop("uid-1")
    told = client.memory.survey
    assert told is not None
    assert list(told.unreachable) == ["http://127.0.0.1:1/"]
    assert list(told.found["tool"].files) == [str(file)]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_watch_that_is_through_at_once_is_not_begun_again_and_again(fails: bool) -> None:
    begun: list[float] = []
    clock = FakeClock()

    class Hasty:
        async def side_by_side(self) -> int:
            return 4

        async def run(self, text: str, **_: object) -> str:
            begun.append(clock.monotonic())
            await asyncio.sleep(0)
            if len(begun) > 10:
                raise HostSilent("enough")
            if fails:
                raise ScriptFailed("it failed", 1)
            return ""

    class Pool:
        async def get(self, *_: object) -> Hasty:
            return Hasty()

    target = Target("192.0.2.21", 22, "root", "a/b", Credentials(), Expected("SHA256:x"))
    pool = cast("Connections", Pool())
    client = HostClient(pool, clock, "uid-1", target, HostMemory(), lambda: None)
    watching_ = asyncio.create_task(client.watch(Watch(("kubelet",))))
    await clock.advance(2 * watching.AGAIN)
    watching_.cancel()
    assert begun == [0.0, watching.AGAIN, 2 * watching.AGAIN]


async def test_of_what_a_host_says_of_an_endpoint_little_is_quoted() -> None:
    class Lying:
        target = SimpleNamespace(place="192.0.2.21")

        async def run(self, text: str, **_: object) -> str:
            raise ScriptFailed("it failed", 79, "endpoint " + encoded("no route\n" * 10_000))

    joining = join.Joining("u", join.JoinPlan("new", token=False), ACCESS)
    with pytest.raises(EndpointUnreachable, match="no route no route") as raised:
        await commands.let_join(cast("Connection", Lying()), joining)
    assert len(str(raised.value)) < 1000
