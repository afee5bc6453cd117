"""`kok fleet` as a user sees it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from tests.unit.cli.things import Run
from tests.unit.fakeapi import FakeApi

from kok.api.cluster.fleetstatus import (
    FleetDurations,
    FleetReport,
    FleetRow,
    FleetUpgradeStatus,
    FleetWaveStatus,
)
from kok.api.cluster.fleetupgrade import FleetUpgrade

PATH = "/apis/kok.dev/v1alpha1/namespaces/{}/fleetupgrades/{}"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ROW = FleetRow("rest", "1.37.0", "1.37.1")


def a_fleet(namespace: str = "ns", name: str = "patch", **changes: Any) -> dict[str, Any]:
    """A FleetUpgrade of four Clusters, as it is stored."""
    status = FleetUpgradeStatus(
        phase="Upgrading",
        target="1.37.1",
        wave="rest",
        summary="1/3",
        started_at=NOW,
        waves=[FleetWaveStatus(name="canary", clusters=1, begun=NOW, done=NOW, soaked=NOW)],
        took=FleetDurations(count=1, total=31, longest=31, slowest="ns/a"),
        late=2,
    )
    status.store(
        {
            "ns/a": FleetRow("canary", "1.37.0", "1.37.1").turned("Done", NOW),
            "ns/b": ROW.turned("Failed", NOW, "UpgradeBlocked", "w1 | is\n[too] old"),
            "ns/c": ROW,
            "ns/d": FleetRow("", "1.37.0", "1.37.1").turned("Skipped", NOW, "OptedOut", "Forbid"),
        }
    )
    status.set_condition("Ready", False, "WaveUnderWay", "wave rest: 1 waiting", now=NOW)
    for field, value in changes.items():
        setattr(status, field, value)
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "FleetUpgrade",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": NOW.isoformat(),
        },
        "spec": {"selector": {}, "target": {"version": "1.37.1"}},
        "status": status.manifest(),
    }


async def test_all_that_there_are_stand_on_a_line_each(api: FakeApi, run: Run) -> None:
    api.put(PATH.format("ns", "patch"), a_fleet())
    api.put(PATH.format("b", "other"), a_fleet("b", "other"))

    _, here, _ = await run("fleet", "status")
    _, everywhere, _ = await run("fleet", "status", "-A")

    heading, line = here.splitlines()
    assert heading.split() == [
        "NAMESPACE",
        "NAME",
        "TARGET",
        "PHASE",
        "WAVE",
        "DONE",
        "FAILED",
        "SKIPPED",
        "AGE",
        "WHY",
    ]
    told = line.split()
    assert told[:8] == ["ns", "patch", "1.37.1", "Upgrading", "rest", "1/3", "1", "1"]
    assert "wave rest: 1 waiting" in line
    assert {line.split()[1] for line in everywhere.splitlines()[1:]} == {"patch", "other"}
    assert (await run("fleet", "status", "-n", "empty"))[1].startswith("no FleetUpgrade found")


async def test_it_shows_what_kubectl_does_and_why(api: FakeApi, run: Run) -> None:
    api.put(PATH.format("ns", "patch"), a_fleet())
    _, out, _ = await run("fleet", "status")
    columns = [c.name.upper() for c in FleetUpgrade.info.columns if not c.wide]
    assert out.splitlines()[0].split() == ["NAMESPACE", "NAME", *columns, "WHY"]


async def test_of_one_each_cluster_is_shown_and_trouble_first(api: FakeApi, run: Run) -> None:
    api.put(PATH.format("ns", "patch"), a_fleet())

    _, out, _ = await run("fleet", "status", "patch")

    headline, heading, *lines = out.splitlines()
    assert headline == "ns/patch: Upgrading, 1/3 done; wave rest: 1 waiting"
    assert heading.split() == ["CLUSTER", "WAVE", "FROM", "TO", "STATE", "SINCE", "WHY"]
    assert [line.split()[0] for line in lines] == ["ns/b", "ns/c", "ns/d", "ns/a"]
    assert "UpgradeBlocked: w1 | is [too] old" in lines[0]


async def test_what_does_not_exist_is_told(api: FakeApi, run: Run) -> None:
    for command in ("status", "report"):
        code, _, errors = await run("fleet", command, "nothing")
        assert code == 1
        assert "there is no FleetUpgrade nothing in namespace ns" in errors


async def test_the_report_is_markdown(api: FakeApi, run: Run) -> None:
    ended = NOW + timedelta(minutes=5)
    report = FleetReport(
        result="CompletedWithFailures", began=NOW, ended=ended, summary="1 done, 1 failed"
    )
    api.put(PATH.format("ns", "patch"), a_fleet(report=report, ended_at=ended))

    _, out, _ = await run("fleet", "report", "patch")

    lines = out.splitlines()
    assert lines[0] == "# FleetUpgrade ns/patch"
    assert "- Result: CompletedWithFailures: wave rest: 1 waiting" in lines
    assert "- Began 2026-11-22 12:00:00 UTC, ended 2026-11-22 12:05:00 UTC" in lines
    assert "- Clusters: 4, of these 1 done, 1 failed, 1 skipped, 0 under way, 1 waiting" in lines
    assert "at most 31 s (ns/a)" in out
    assert "- 2 Clusters came after the plan was made, and were left alone" in lines
    assert (
        "| ns/b | rest | 1.37.0 | 1.37.1 | Failed | 2026-11-22 12:00:00 UTC | "
        "UpgradeBlocked: w1 \\| is [too] old |" in lines
    )
    tables = [line for line in lines if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)
    assert len(tables) == 3 + 6


async def test_one_is_followed_until_it_has_ended(api: FakeApi, run: Run) -> None:
    report = FleetReport(result="Completed", began=NOW, ended=NOW, summary="")
    api.put(PATH.format("ns", "patch"), a_fleet(report=report, ended_at=NOW))

    code, out, _ = await run("fleet", "status", "patch", "-w")

    assert code == 0
    assert "  ns/b: 1.37.0 -> 1.37.1 Failed, UpgradeBlocked: w1 | is [too] old" in out
    assert "ns/c" not in out, "those that wait are told of once they change"
    assert out.splitlines()[-1].startswith("ns/patch: Upgrading, 1/3 done")


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ("Completed", 0),
        ("DryRun", 0),
        ("CompletedWithFailures", 1),
        ("NothingUpgraded", 1),
        ("NothingSelected", 1),
        ("Aborted", 1),
    ],
)
async def test_how_it_ended_is_told_by_the_exit_code(
    api: FakeApi, run: Run, result: Any, code: int
) -> None:
    report = FleetReport(result=result, began=NOW, ended=NOW, summary="")
    api.put(PATH.format("ns", "patch"), a_fleet(report=report, ended_at=NOW))

    assert (await run("fleet", "status", "patch", "-w"))[0] == code
    assert (await run("fleet", "status", "-w", "--help"))[1].count("exit with 1") == 1


async def test_one_that_is_not_there_is_not_waited_for(api: FakeApi, run: Run) -> None:
    code, _, errors = await run("fleet", "status", "nothing", "-w")
    assert code == 1
    assert "there is no FleetUpgrade nothing in namespace ns" in errors


async def test_one_that_is_deleted_meanwhile_is_not_waited_for(api: FakeApi, run: Run) -> None:
    path = PATH.format("ns", "patch")
    api.put(path, a_fleet())

    async def goes(request: web.Request) -> web.StreamResponse | None:
        if "watch" not in request.query:
            return None
        response = web.StreamResponse()
        await response.prepare(request)
        event = {"type": "DELETED", "object": api.objects.pop(path)}
        await response.write(json.dumps(event).encode() + b"\n")
        return response

    api.script("GET", "/fleetupgrades$", goes)
    code, out, errors = await run("fleet", "status", "patch", "-w")

    assert code == 1
    assert "ns/patch: Upgrading, 1/3 done" in out
    assert "FleetUpgrade patch was deleted" in errors
