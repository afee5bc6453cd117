"""`kok rollout` as a user sees it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.unit.cli.things import Run
from tests.unit.fakeapi import FakeApi

from kok.api.machine.kubenode import KubeNode, KubeNodeStatus
from kok.api.machine.rollout import RolloutNode, RolloutStatus
from kok.cli import rollout

PATH = "/apis/kok.dev/v1alpha1/namespaces/{}/kubenodes/{}"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WORKERS = PATH.format("ns", "workers")


def a_kubenode(namespace: str = "ns", *, reason: str = "RollingOut", **changes: Any) -> Any:
    """A KubeNode whose software is being changed, as it is stored."""
    now = RolloutStatus(
        id="abc",
        since=NOW,
        batch=2,
        members=["workers-b"],
        next=["workers-c"],
        total=4,
        updated=1,
        nodes=[RolloutNode(machine="workers-b", state="Draining", since=NOW, why="1 pod\nis left")],
    ).model_copy(update=changes)
    status = KubeNodeStatus(observed_generation=1, rollout=now)
    good = reason == "RolledOut"
    text = "1 of 4 nodes are through"
    status.set_condition("RolledOut", good, reason, text, now=NOW, generation=1)
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "KubeNode",
        "metadata": {"name": "workers", "namespace": namespace, "generation": 1},
        "spec": {"cluster": "shop"},
        "status": status.manifest(),
    }


async def test_all_that_there_are_stand_on_a_line_each(api: FakeApi, run: Run) -> None:
    api.put(WORKERS, a_kubenode())
    api.put(PATH.format("b", "workers"), a_kubenode("b"))
    _, here, _ = await run("rollout", "status")
    heading, line = here.splitlines()
    assert heading.split()[:6] == ["NAMESPACE", "NAME", "ROLLOUT", "PHASE", "BATCH", "UPDATED"]
    assert line.split()[:6] == ["ns", "workers", "abc", "RollingOut", "2", "1/4"]
    _, everywhere, _ = await run("rollout", "status", "-A")
    assert len(everywhere.splitlines()) == 3
    assert (await run("rollout", "status", "-n", "empty"))[1].startswith("no KubeNode found")


async def test_of_one_each_node_under_way_is_shown_and_who_is_next(api: FakeApi, run: Run) -> None:
    api.put(WORKERS, a_kubenode())
    _, out, _ = await run("rollout", "status", "workers")
    headline, heading, *lines = out.splitlines()
    assert headline == (
        "ns/workers: RollingOut, 1/4 nodes updated; RollingOut: 1 of 4 nodes are through"
    )
    assert heading.split() == ["MACHINE", "STATE", "SINCE", "WHY"]
    assert [line.split()[:2] for line in lines] == [
        ["workers-b", "Draining"],
        ["workers-c", "Next"],
    ]
    assert "1 pod is left" in lines[0]


async def test_what_does_not_exist_is_told(api: FakeApi, run: Run) -> None:
    code, _, err = await run("rollout", "status", "gone")
    assert code == 1
    assert "there is no KubeNode gone in namespace ns; name another with -n" in err


async def test_it_is_paused_and_resumed_in_the_spec(api: FakeApi, run: Run) -> None:
    api.put(WORKERS, a_kubenode())
    code, out, _ = await run("rollout", "pause", "workers")
    assert code == 0
    assert "no further node is begun" in out
    assert api.objects[WORKERS]["spec"]["rollout"]["paused"] is True
    assert "already" in (await run("rollout", "pause", "workers"))[1]
    await run("rollout", "resume", "workers")
    assert api.objects[WORKERS]["spec"]["rollout"]["paused"] is False


async def test_an_abort_names_the_rollout_that_is_under_way(api: FakeApi, run: Run) -> None:
    api.put(WORKERS, a_kubenode())
    code, out, _ = await run("rollout", "abort", "workers")
    assert code == 0
    assert "rollout abc ends" in out
    assert api.objects[WORKERS]["spec"]["rollout"]["abort"] == "abc"
    api.put(WORKERS, a_kubenode(phase="Done", ended_at=NOW))
    code, _, err = await run("rollout", "abort", "workers")
    assert code == 1
    assert "no rollout is under way" in err


async def test_it_is_followed_to_its_end(api: FakeApi, run: Run) -> None:
    done = {"phase": "Done", "ended_at": NOW, "updated": 4, "nodes": [], "next": []}
    api.put(WORKERS, a_kubenode(reason="RolledOut", **done))
    code, out, _ = await run("rollout", "status", "workers", "-w")
    assert code == 0
    assert "Done, 4/4 nodes updated" in out
    api.put(WORKERS, a_kubenode(reason="RolledBack", phase="RolledBack", ended_at=NOW))
    code, out, _ = await run("rollout", "status", "workers", "-w")
    assert code == 1
    assert (await run("rollout", "status", "-w"))[0] == 1


def test_one_that_has_ended_is_followed_until_that_is_said_of_it() -> None:
    done = {"phase": "Done", "ended_at": NOW, "updated": 4, "nodes": [], "next": []}
    assert rollout.over(KubeNode.parse(a_kubenode(reason="RolledOut", **done)))
    assert not rollout.over(KubeNode.parse(a_kubenode(reason="RollingOut", **done)))
    of_before = a_kubenode(reason="RolledOut", **done)
    of_before["metadata"]["generation"] = of_before["status"]["observedGeneration"] = 2
    assert not rollout.over(KubeNode.parse(of_before))


def test_a_change_is_told_once() -> None:
    lines: list[str] = []
    seen = rollout.Follower(lines.append)
    seen.tell(KubeNode.parse(a_kubenode()))
    seen.tell(KubeNode.parse(a_kubenode()))
    seen.tell(KubeNode.parse(a_kubenode(nodes=[], updated=2)))
    assert lines == [
        "  workers-b Draining: 1 pod is left",
        "ns/workers: RollingOut, 1/4 nodes updated; RollingOut: 1 of 4 nodes are through",
        "  workers-b Updated",
        "ns/workers: RollingOut, 2/4 nodes updated; RollingOut: 1 of 4 nodes are through",
    ]
