"""`kok upgrade` asks what stands in the way, or begins an upgrade and follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from tests.unit.cli.things import PATH, Run
from tests.unit.fakeapi import FakeApi

from kok.kube import watch as watching

HERE = PATH.format("ns")
OLD, NEW = "1.36.4", "1.37.1"
ANNOTATION = "kok.dev/preflight"
FINDING = {
    "check": "Webhooks",
    "severity": "Error",
    "object": "policy/pods.example.org",
    "message": "nobody answers\x1b[2J",
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches that end begin again without a pause."""
    monkeypatch.setattr(watching.random, "uniform", lambda *_: 0.0)


def put(api: FakeApi, *, version: str = OLD, **parts: Any) -> dict[str, Any]:
    meta = {"namespace": "ns", "creationTimestamp": "2026-01-01T22:00:00Z", "generation": 2}
    made = {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {**meta, **parts.get("metadata", {})},
        "spec": {"version": version, **parts.get("spec", {})},
        "status": {"version": OLD, "observedGeneration": 2, **parts.get("status", {})},
    }
    return api.put(HERE, made)


def answers(api: FakeApi, *findings: dict[str, Any]) -> list[str]:
    """An operator that answers as soon as it is asked; the annotations that it saw."""
    seen: list[str] = []

    async def patched(request: web.Request) -> web.StreamResponse | None:
        body = await request.json()
        asked = body.get("metadata", {}).get("annotations", {}).get(ANNOTATION)
        if asked is not None:
            seen.append(asked)
            passed = all(f["severity"] != "Error" or f.get("consented") for f in findings)
            told = {"version": asked.partition(",")[0], "at": "2026-01-02T00:00:00Z"}
            status = {"preflight": {**told, "asked": asked, "passed": passed, "findings": findings}}

            def tell() -> None:
                # The API server in memory tells nothing to a watch that begins later.
                if ANNOTATION in (api.objects[HERE]["metadata"].get("annotations") or {}):
                    put(api, status=status)
                    asyncio.get_running_loop().call_later(0.1, tell)

            asyncio.get_running_loop().call_soon(tell)
        return None

    api.script("PATCH", "clusters/demo$", patched)
    return seen


@pytest.mark.parametrize(
    ("findings", "code", "last"),
    [
        ((), 0, f"{NEW} can be gone to"),
        (({**FINDING, "severity": "Warning"},), 0, f"{NEW} can be gone to"),
        ((FINDING,), 1, "1 of these block it"),
        (({**FINDING, "consented": True},), 0, f"{NEW} can be gone to"),
    ],
)
async def test_what_stands_in_the_way_is_a_table_and_an_exit_code(
    api: FakeApi, run: Run, findings: tuple[dict[str, Any], ...], code: int, last: str
) -> None:
    put(api)
    seen = answers(api, *findings)
    done, out, err = await run("upgrade", "demo", "--to", NEW, "--check", "-n", "ns")
    assert (done, err) == (code, "")
    assert out.splitlines()[-1] == last
    if findings:
        assert "Webhooks  policy/pods.example.org  nobody answers?[2J" in out
    [mark] = seen
    assert mark.startswith(f"{NEW},")
    assert ANNOTATION not in api.objects[HERE]["metadata"].get("annotations", {})
    assert api.objects[HERE]["spec"]["version"] == OLD, "nothing was begun"


async def test_an_operator_that_does_not_answer_is_told(api: FakeApi, run: Run) -> None:
    put(api, spec={"paused": True})
    code, _, err = await run("upgrade", "demo", "--to", NEW, "--check", "--timeout", "0.2")
    assert code == 1
    assert err == (
        "kok: the cluster operator has not answered for Cluster ns/demo within 0 s; it is paused\n"
    )
    assert ANNOTATION not in api.objects[HERE]["metadata"].get("annotations", {})


async def test_a_cluster_that_is_not_there_is_told(run: Run) -> None:
    code, _, err = await run("upgrade", "demo", "--to", NEW, "--check")
    assert (code, err) == (
        1,
        "kok: there is no Cluster demo in namespace ns; name another with -n\n",
    )


@pytest.mark.parametrize(
    ("meta", "keeper"),
    [
        ({}, None),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, "Argo CD"),
        ({"labels": {"argocd.argoproj.io/instance": "x"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}, "Flux"),
    ],
)
async def test_the_version_is_written_and_who_keeps_it_is_said(
    api: FakeApi, run: Run, meta: dict[str, Any], keeper: str | None
) -> None:
    put(api, metadata=meta)
    code, out, err = await run("upgrade", "demo", "--to", NEW)
    assert (code, err) == (0, "")
    first, *rest = out.splitlines()
    assert first == f"Cluster ns/demo: spec.version {OLD} -> {NEW}"
    assert api.objects[HERE]["spec"]["version"] == NEW
    expected = (
        f"{keeper} keeps it as it stands in Git: write 'version: \"{NEW}\"' there, or it goes back"
    )
    assert rest == ([] if keeper is None else [expected])


def upgrading(step: str, reason: str, message: str = "", waits: str = "") -> dict[str, Any]:
    now = {
        "from": OLD,
        "to": NEW,
        "hop": NEW,
        "hopFrom": OLD,
        "step": step,
        "since": "2026-01-02T00:00:00Z",
        "movedAt": "2026-01-02T00:00:00Z",
        "waitingFor": waits,
    }
    condition = {
        "type": "Progressing",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-02T00:00:00Z",
    }
    return {"upgrade": now, "conditions": [condition]}


def plays(api: FakeApi, states: Iterator[dict[str, Any]]) -> None:
    """One state after the other, a moment apart."""

    def move() -> None:
        state = next(states, None)
        if state is not None:
            put(api, version=NEW, status=state)
            asyncio.get_running_loop().call_later(0.05, move)

    async def watched(request: web.Request) -> None:
        if "watch" in request.query:
            asyncio.get_running_loop().call_later(0.1, move)

    api.script("GET", "clusters$", watched)


async def test_it_is_followed_to_its_end_with_times(api: FakeApi, run: Run) -> None:
    put(api, version=NEW)
    plays(
        api,
        iter(
            [
                upgrading("Preflight", "Upgrading", waits="pods"),
                upgrading("APIServer", "Upgrading", waits="1/2"),
                {"version": NEW},
            ]
        ),
    )
    code, out, _ = await run("upgrade", "demo", "--to", NEW, "-w")
    told = [line.partition(" s  ") for line in out.splitlines()[1:]]
    assert code == 0
    assert [line for _, _, line in told] == [
        f"{OLD} runs",
        "Preflight: pods",
        "APIServer: 1/2",
        f"{NEW} runs",
    ]
    assert all(float(at) < 60 for at, _, _ in told)


async def test_what_blocks_it_ends_the_command(api: FakeApi, run: Run) -> None:
    put(api, version=NEW)
    plays(api, iter([upgrading("Preflight", "UpgradeBlocked", "Webhooks: nobody answers")]))
    code, out, _ = await run("upgrade", "demo", "--to", NEW, "--watch")
    assert code == 1
    assert out.splitlines()[-1].endswith("UpgradeBlocked: Webhooks: nobody answers")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"paused": True}, "it is paused, and goes there when spec.paused is false again"),
        ({"hibernate": True}, "it hibernates, and goes there when it wakes"),
    ],
)
async def test_one_that_does_not_go_by_itself_is_not_waited_for(
    api: FakeApi, run: Run, spec: dict[str, Any], said: str
) -> None:
    put(api, version=NEW, spec=spec)
    code, out, _ = await run("upgrade", "demo", "--to", NEW, "-w")
    assert code == 1
    assert out.splitlines()[-1].endswith(said)


async def test_a_spec_that_somebody_puts_back_ends_the_command(api: FakeApi, run: Run) -> None:
    put(api)

    def back() -> None:
        put(api, version=OLD)

    async def watched(request: web.Request) -> None:
        if "watch" in request.query:
            asyncio.get_running_loop().call_later(0.1, back)

    api.script("GET", "clusters$", watched)
    code, out, _ = await run("upgrade", "demo", "--to", NEW, "-w")
    assert code == 1
    assert out.splitlines()[-1].endswith(f"somebody has changed spec.version to {OLD}")


async def test_what_hangs_and_what_is_refused_is_told_with_its_cause(
    api: FakeApi, run: Run
) -> None:
    put(api, version=NEW)
    hangs = upgrading("APIServer", "UpgradeStuck", "its image cannot be pulled", waits="1/2")
    ready = {"type": "Ready", "status": "False", "reason": "PolicyViolation", "message": "not here"}
    ready |= {"lastTransitionTime": "2026-01-02T00:00:00Z"}
    plays(api, iter([{"conditions": [ready]}, hangs, {"version": NEW}]))
    code, out, _ = await run("upgrade", "demo", "--to", NEW, "-w")
    assert code == 0
    assert [line.partition(" s  ")[2] for line in out.splitlines()[2:]] == [
        f"{OLD} runs; PolicyViolation: not here",
        "APIServer: UpgradeStuck: its image cannot be pulled",
        f"{NEW} runs",
    ]


async def test_one_that_a_fleet_raised_further_is_there(api: FakeApi, run: Run) -> None:
    raised = {"to": "1.37.2", "by": "team-a/june", "at": "2026-01-02T00:00:00Z"}
    put(api, version=NEW, status={"version": "1.37.2", "raised": raised})
    code, out, _ = await run("upgrade", "demo", "--to", NEW, "-w")
    assert code == 0
    assert out.splitlines()[-1].endswith("1.37.2 runs, to which FleetUpgrade team-a/june raised it")
