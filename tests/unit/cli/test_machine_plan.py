"""`kok machine plan` as a user sees it."""

from __future__ import annotations

from typing import Any

from tests.unit.cli.things import Run
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine import builders

from kok.api.meta import Manifest

BASE = "/apis/kok.dev/v1alpha1/namespaces/team-a"
CHANGE = {
    "component": "docker",
    "before": "20.10.9",
    "after": "20.10.24",
    "machines": 12,
    "names": ["shop-workers-w1"],
}
STEP = {
    "component": "containerd",
    "action": "remove",
    "before": "2.3.7",
    "needs": "nothing",
}


def put(api: FakeApi, plural: str, made: Any, **meta: Any) -> None:
    manifest: Manifest = made.manifest()
    manifest["metadata"] |= meta
    manifest |= {"apiVersion": "kok.dev/v1alpha1", "kind": type(made).info.kind.kind}
    api.put(f"{BASE}/{plural}/{manifest['metadata']['name']}", manifest)


def labelled(api: FakeApi, **status: Any) -> None:
    labels = {"kok.dev/kubenode": "shop-workers"}
    put(api, "machines", builders.machine(status=status), labels=labels)


async def test_what_would_run_where_is_shown(api: FakeApi, run: Run) -> None:
    put(api, "kubenodes", builders.kubenode(status={"plan": [CHANGE]}))
    labelled(api, plan=[STEP])

    code, out, _ = await run("machine", "plan", "shop-workers", "-n", "team-a")

    rows = [line.split() for line in out.splitlines()]
    assert code == 0
    assert ["docker", "20.10.9", "20.10.24", "12", "shop-workers-w1"] in rows
    assert ["shop-workers-w1", "containerd", "remove", "2.3.7", "(goes)", "nothing"] in rows


async def test_a_machine_alone_shows_its_own_steps(api: FakeApi, run: Run) -> None:
    again = {"component": "kubelet", "action": "restart", "before": "1", "after": "1"}
    labelled(api, plan=[{**again, "needs": "restart"}])

    _, out, _ = await run("machine", "plan", "shop-workers-w1", "-n", "team-a")

    assert out.splitlines()[1].split()[1:] == [
        "kubelet",
        "restart",
        "1",
        "1",
        "(settings)",
        "restart",
    ]


async def test_nothing_to_be_done_is_said(api: FakeApi, run: Run) -> None:
    labelled(api)
    _, out, _ = await run("machine", "plan", "shop-workers-w1", "-n", "team-a")
    assert out == "nothing is to be done for Machine team-a/shop-workers-w1\n"


async def test_a_name_that_is_nobodys_is_told(api: FakeApi, run: Run) -> None:
    code, _, err = await run("machine", "plan", "nobody", "-n", "team-a")
    assert code == 1
    assert "there is no KubeNode and no Machine nobody in namespace team-a" in err
