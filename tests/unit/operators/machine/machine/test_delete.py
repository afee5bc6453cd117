"""Machines that go: how long each step may take, and what becomes of a host that stays uncleaned."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import structlog
from aiohttp import web
from prometheus_client import REGISTRY
from tests.unit.fakeapi import FakeApi
from tests.unit.fakeapi import refusal as refused
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.views import NODE, machine_view, observed

from kok.api.machine.host import AbandonedHost
from kok.api.machine.machine import HostPlace, Machine
from kok.kube.client import Kube
from kok.kube.errors import Forbidden, KubeError
from kok.operators.machine import reasons
from kok.operators.machine.host.abandoned_hosts import MOST, Abandoned
from kok.operators.machine.machine.delete import Removal
from kok.operators.machine.remote.commands import HostTaken
from kok.operators.machine.remote.host_credentials import Problem
from kok.operators.machine.remote.session import LEAST, Session
from kok.operators.machine.remote.ssh import Credentials, Expected, Target
from kok.operators.machine.remote.survey import Owner
from kok.operators.machine.settings import MachineSettings
from kok.runtime.clock import FakeClock
from kok.runtime.controller.errors import Paused, Wait
from kok.runtime.controller.reconciler import DONE, Pass
from kok.runtime.settings import Settings

JOINED = {
    "type": "Joined",
    "status": "True",
    "reason": "Joined",
    "lastTransitionTime": "2026-11-02T11:00:00Z",
}


@dataclass
class Tenant:
    """A business cluster as far as a removal looks at it before it asks anything."""

    known: bool = False
    age: float = 3600.0
    silence: float = 0.0
    answers: bool | None = False


def removal(
    tenant: Tenant | None,
    removed_for: float,
    *,
    kube: Kube | None = None,
    session: Session | None = None,
    abandoned: Abandoned | None = None,
    machine: Machine | None = None,
    **changes: Any,
) -> tuple[Removal, Pass[Machine]]:
    """The removal of a Machine that joined and whose host, by default, needs nothing any more."""
    began = (NOW - timedelta(seconds=removed_for)).isoformat()
    machine = machine or builders.machine(
        metadata={"deletionTimestamp": began},
        status={"conditions": [JOINED], "drainSince": began},
    )
    session = session or Session(lambda: 0.0)
    p = Pass(
        obj=machine,
        status=machine.status.model_copy(deep=True),
        kube=kube,  # type: ignore[arg-type] # None: the meta cluster is not asked
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )
    around = observed(**{"tenant": tenant, "node": NODE, **changes})
    given = replace(machine_view(machine, memory=session.memory, objects=around), status=p.status)
    listed = abandoned or Abandoned()
    return Removal(p, given, session, None, MachineSettings(), abandoned=listed), p


@pytest.mark.parametrize(
    ("tenant", "removed_for"),
    [
        (Tenant(silence=5.0), 5.0),
        # Its API servers are being rolled in the middle of a long drain.
        (Tenant(silence=5.0), 300.0),
        # The operator was just started.
        (Tenant(age=2.0, answers=None), 300.0),
        (None, 5.0),
    ],
)
async def test_an_api_that_is_away_for_a_moment_costs_no_drain(
    tenant: Tenant | None, removed_for: float
) -> None:
    going, p = removal(tenant, removed_for)
    with pytest.raises(Wait) as told:
        await going.step()
    assert told.value.message == "waiting for the API of Cluster shop"
    assert p.events == []


@pytest.mark.parametrize(
    ("tenant", "removed_for"),
    [
        (Tenant(silence=31.0), 60.0),
        # Away again and again, each time for a moment: there is a limit to all patience.
        (Tenant(silence=5.0), 331.0),
        (Tenant(age=2.0, answers=None), 331.0),
        (None, 31.0),
    ],
)
async def test_an_api_that_is_away_for_good_keeps_no_machine(
    tenant: Tenant | None, removed_for: float
) -> None:
    going, p = removal(tenant, removed_for)
    assert await going.step() is DONE
    assert [event.reason for event in p.events] == ["NodeLeftBehind"]


class Refusing:
    """An API whose admission webhook forbids that Nodes are deleted."""

    async def delete(self, *_: object, **__: object) -> bool:
        raise Forbidden(403, "Forbidden", "admission webhook nodes.example denied the request")


@dataclass
class Known(Tenant):
    """One that answers, and refuses."""

    known: bool = True
    silence: float = 31.0
    kube: Refusing = field(default_factory=Refusing)


async def test_an_api_that_refuses_is_not_said_to_be_silent() -> None:
    going, p = removal(Known(), 391.0)
    with suppress(Wait):
        await going._forget_node()
    [event] = p.events
    assert "whose API refuses what it is asked (HTTP status 403): admission webhook" in event.note
    assert "answer" not in event.note


# --- the drain


def draining(removed_for: float, *, error: KubeError | None = None) -> tuple[Removal, Session]:
    """A drain of 5 minutes that is under way."""
    session = Session(lambda: 0.0)
    session.memory.drain_seen = NOW - timedelta(seconds=removed_for)
    session.memory.error = error
    session.memory.retry = 1.0  # What is refused is tried again, but not in this very moment.
    going, _ = removal(
        Tenant(known=True, answers=True),
        removed_for,
        session=session,
        kube=None,
    )
    return going, session


@pytest.mark.parametrize(
    ("removed_for", "error", "ends"),
    [
        (299.0, None, False),
        # Pods that are deleted against their budgets get their time to end.
        (301.0, None, False),
        (340.0, None, True),
        (299.0, KubeError(403, "Forbidden", "a webhook says no"), False),
        # Nobody ends pods where nothing can be asked for: there is nothing to wait for.
        (300.0, KubeError(403, "Forbidden", "a webhook says no"), True),
    ],
)
async def test_a_drain_ends_when_its_time_is_over(
    removed_for: float, error: KubeError | None, *, ends: bool
) -> None:
    """It went on for 90 s more where the Node could not be deleted."""
    going, session = draining(removed_for, error=error)
    if ends:
        # The host, which was never changed, needs no clean-up, so that only the Node is left.
        with suppress(AttributeError):
            await going.step()
        assert session.memory.drained
    else:
        with pytest.raises(Wait, match="draining node w1"):
            await going.step()
        assert not session.memory.drained


async def test_an_operator_that_was_away_has_its_whole_time() -> None:
    """The Machine was deleted hours ago; nobody has drained anything yet."""
    long_ago = (NOW - timedelta(hours=5)).isoformat()
    machine = builders.machine(
        metadata={"deletionTimestamp": long_ago}, status={"conditions": [JOINED]}
    )
    session = Session(lambda: 0.0)
    session.memory.retry = 1.0
    going, p = removal(Tenant(known=True, answers=True), 0.0, machine=machine, session=session)
    with pytest.raises(Wait, match="draining node w1"):
        await going.step()
    assert p.status.drain_since == NOW


async def test_the_time_in_which_an_operator_was_away_drains_nothing() -> None:
    """It was killed in the middle of a drain, and comes back when that should be over."""
    session = Session(lambda: 0.0)
    session.memory.retry = 1.0
    going, _ = removal(Tenant(known=True, answers=True), 390.0, session=session)
    with pytest.raises(Wait, match="draining node w1"):
        await going.step()
    assert not session.memory.drained
    assert going._drain_until == NOW + LEAST
    # Nor does the time in which the Machine was paused.
    session.memory.drain_seen = NOW - timedelta(hours=1)
    going, p = removal(Tenant(known=True, answers=True), 390.0, session=session)
    p.paused = True
    with pytest.raises(Paused):
        await going.step()
    assert session.memory.drain_seen is None


# --- the host


def installed(cleaning_for: float | None, **meta: Any) -> Machine:
    """A Machine of a pool, with software on its host, that is being deleted."""
    status: dict[str, Any] = {
        "components": [{"name": "kubelet", "config": "1", "found": "1.37.1"}],
        "drainSince": (NOW - timedelta(hours=2)).isoformat(),
    }
    if cleaning_for is not None:
        status["cleanSince"] = (NOW - timedelta(seconds=cleaning_for)).isoformat()
    metadata = {
        "deletionTimestamp": (NOW - timedelta(hours=2)).isoformat(),
        "labels": {"kok.dev/host": "w1", "kok.dev/kubenode": "shop-workers"},
        **meta,
    }
    return builders.machine(metadata=metadata, status=status)


HOST = "/apis/kok.dev/v1alpha1/namespaces/team-a/hosts/w1"
LIST = "/api/v1/namespaces/kok-system/configmaps/kok-abandoned-hosts"
GONE = Problem(reasons.SECRET_MISSING, "Secret team-a/ops-ssh is gone")


def pool(api: FakeApi) -> None:
    spec = {"address": "192.0.2.21", "ssh": {"user": "ops", "secret": "ops-ssh"}}
    meta = {"name": "w1", "namespace": "team-a"}
    api.put(HOST, {"metadata": meta, "spec": spec, "status": {}})
    api.put(LIST, {"metadata": {"name": "kok-abandoned-hosts", "namespace": "kok-system"}})


async def test_a_host_that_stays_uncleaned_is_dirty_listed_and_counted(
    api: FakeApi, kube: Kube
) -> None:
    pool(api)
    listed = Abandoned()
    await listed.load(kube, "kok-system")
    hopeless = {"credentials": None, "refusal": GONE, "cluster": None}
    going, p = removal(None, 0, kube=kube, abandoned=listed, machine=installed(601), **hopeless)
    assert await going.step() is DONE
    assert api.objects[HOST]["status"]["usedBy"] == {
        "machine": "shop-workers-w1",
        "uid": "uid-shop-workers-w1",
        "cluster": "shop",
        "address": "192.0.2.21",
        "port": 22,
    }
    entry = json.loads(api.objects[LIST]["data"]["uid-shop-workers-w1"])
    assert entry["address"] == "192.0.2.21"
    assert entry["why"] == "Secret team-a/ops-ssh is gone"
    assert entry["left"] == "stop pods, uninstall kubelet, remove /var/lib/kok"
    assert REGISTRY.get_sample_value("kok_machine_abandoned_hosts") == 1
    assert [event.reason for event in p.events] == ["HostAbandoned"]
    assert [e.address for e in listed.of("team-a", "shop-workers")] == ["192.0.2.21"]
    # Clean after all: who did it takes it off the list.
    await listed.cleaned(kube, "team-a", "uid-shop-workers-w1")
    assert api.objects[LIST]["data"] == {}
    assert REGISTRY.get_sample_value("kok_machine_abandoned_hosts") == 0


async def test_no_host_is_given_up_before_it_was_tried_to_clean_it(
    api: FakeApi, kube: Kube
) -> None:
    """The operator was killed in the middle of a clean-up, and is back after its time is over."""
    pool(api)
    session = Session(lambda: 0.0)
    listed, machine = Abandoned(), installed(700)
    await listed.load(kube, "kok-system")
    for seen, ends in ((None, False), (NOW - LEAST / 2, False), (NOW - LEAST, True)):
        session.memory.clean_seen = seen
        going, _ = removal(
            None, 0, kube=kube, session=session, abandoned=listed, machine=machine, cluster=None
        )
        going._hand = Busy()  # type: ignore[assignment]
        if ends:
            assert await going.step() is DONE
        else:
            with pytest.raises(Wait, match="cleaning up host"):
                await going.step()
            assert session.doing == "clean"
            await asyncio.sleep(0)
    assert [entry.why for entry in listed.known.values()] == ["it was not done in time"]


class Busy:
    """A way to a host on which the clean-up does not come to an end."""

    async def clean(self, owner: Owner, *, marked: bool = False) -> None:
        await asyncio.Event().wait()


KEY, OTHER = "SHA256:" + "A" * 43, "SHA256:" + "B" * 43
ELSEWHERE = HostTaken("host 192.0.2.21 serves somebody else", Owner("uid-of-another"))


class Way:
    """A way to a host, and how it was asked to clean it up."""

    def __init__(self, port: int, key: str, source: str = "spec") -> None:
        self.target = Target(
            address="192.0.2.21",
            port=port,
            user="ops",
            secret="team-a/ops-ssh",
            credentials=Credentials(password="p"),
            expected=Expected(key, source),
        )
        self.marked: list[bool] = []

    async def clean(self, owner: Owner, *, marked: bool = False) -> None:
        self.marked.append(marked)


async def cleaning(
    kube: Kube, way: Way, *, error: HostTaken | None = None, recorded: bool = True
) -> tuple[Session, str]:
    """A pass over the removal of a Machine that was installed at port 22; what it waits for."""
    session, machine = Session(lambda: 0.0), installed(1)
    session.memory.error = error
    if recorded:
        place = HostPlace(address="192.0.2.21", port=22, host_key=KEY)
        machine.status.installed_on = place
    going, _ = removal(None, 0, kube=kube, session=session, machine=machine, cluster=None)
    going._hand = way  # type: ignore[assignment]
    said = ""
    try:
        await going.step()
    except Wait as wait:
        said = wait.message
    await asyncio.sleep(0)
    return session, said


@pytest.mark.parametrize(
    ("way", "marked"),
    [
        (Way(22, KEY), False),
        # Its sshd listens at another port by now.
        (Way(2222, KEY), False),
        # Somebody says that it was reinstalled.
        (Way(22, OTHER, "annotation"), False),
        # It may have another key. Or it is another one.
        (Way(22, OTHER), True),
        (Way(2222, OTHER), True),
        (Way(2222, OTHER, "annotation"), True),
    ],
)
async def test_what_may_be_another_host_is_cleaned_only_if_it_bears_the_mark(
    api: FakeApi, kube: Kube, way: Way, *, marked: bool
) -> None:
    pool(api)
    await cleaning(kube, way)
    assert way.marked == [marked]
    # Of what an earlier release has installed nobody knows where that was.
    await cleaning(kube, way, recorded=False)
    assert way.marked == [marked, False]


async def test_that_another_host_is_somebody_elses_makes_the_one_that_was_used_not_clean(
    api: FakeApi, kube: Kube
) -> None:
    pool(api)
    session, said = await cleaning(kube, Way(22, KEY), error=ELSEWHERE)
    assert session.memory.cleaned
    assert said == ""
    session, said = await cleaning(kube, Way(2222, OTHER), error=ELSEWHERE)
    assert not session.memory.cleaned
    assert said.startswith(
        f"cleaning up host 192.0.2.21: it was installed on the host at 192.0.2.21, port 22, with key "
        f"{KEY}; spec names port 2222 and key {OTHER}, and what is there does not bear its mark: write "
        "port and hostKey as they were; if it is gone for ever, annotate with "
        "kok.dev/abandon-host=true; left to do there: "
    )
    _, said = await cleaning(kube, Way(22, OTHER), error=ELSEWHERE)
    assert f"if the host was reinstalled, annotate with kok.dev/trust-host-key={OTHER}" in said


async def test_the_host_that_is_listed_is_the_one_that_was_used(api: FakeApi, kube: Kube) -> None:
    pool(api)
    listed, machine = Abandoned(), installed(601)
    await listed.load(kube, "kok-system")
    machine.spec.port = 2222
    machine.status.installed_on = HostPlace(address="192.0.2.21", port=22, host_key=KEY)
    hopeless = {"credentials": None, "refusal": GONE, "cluster": None}
    going, _ = removal(None, 0, kube=kube, abandoned=listed, machine=machine, **hopeless)
    assert await going.step() is DONE
    assert [entry.port for entry in listed.known.values()] == [22]
    used = api.objects[HOST]["status"]["usedBy"]
    assert (used["port"], used["hostKey"]) == (22, KEY)


async def test_a_clean_up_has_its_whole_time_whatever_the_drain_took(
    api: FakeApi, kube: Kube
) -> None:
    pool(api)
    hopeless = {"credentials": None, "refusal": GONE, "cluster": None}
    going, p = removal(None, 0, kube=kube, machine=installed(None), **hopeless)
    with pytest.raises(Wait) as told:
        await going.step()
    assert told.value.message == (
        "cleaning up host 192.0.2.21: Secret team-a/ops-ssh is gone; left to do there: stop pods, "
        "uninstall kubelet, remove /var/lib/kok; gives up at 12:10:00 UTC, or at once with the "
        "annotation kok.dev/abandon-host=true"
    )
    assert p.status.clean_since == NOW


async def test_nobody_waits_for_a_secret_that_cannot_come_back(api: FakeApi, kube: Kube) -> None:
    """It waited for ten minutes and told to make one in a namespace that takes none any more."""
    pool(api)
    listed = Abandoned()
    await listed.load(kube, "kok-system")
    hopeless = {"credentials": None, "refusal": GONE, "cluster": None, "hopeless": True}
    going, _ = removal(None, 0, kube=kube, abandoned=listed, machine=installed(None), **hopeless)
    assert await going.step() is DONE
    assert list(listed.known) == ["uid-shop-workers-w1"]


@pytest.mark.parametrize("port", [22, "twenty-two"])
async def test_a_machine_that_left_its_host_clean_frees_it(
    api: FakeApi, kube: Kube, port: object
) -> None:
    """Also one of which the rest cannot be read."""
    pool(api)
    api.objects[HOST]["spec"]["port"] = port
    use = {"machine": "shop-workers-w1", "uid": "uid-shop-workers-w1", "cluster": "shop"}
    api.objects[HOST]["status"] = {"usedBy": use}
    session = Session(lambda: 0.0)
    session.memory.cleaned = True
    going, _ = removal(None, 0, kube=kube, session=session, machine=installed(1), cluster=None)
    assert await going.step() is DONE
    assert "usedBy" not in api.objects[HOST]["status"]


async def test_the_list_of_abandoned_hosts_is_bounded(api: FakeApi, kube: Kube) -> None:
    pool(api)
    listed = Abandoned()
    await listed.load(kube, "kok-system")
    for number in range(MOST + 3):
        entry = AbandonedHost(
            namespace="team-a",
            machine=f"m{number}",
            cluster="shop",
            address="192.0.2.1",
            since=NOW + timedelta(seconds=number),
            why="x" * 5000,
        )
        await listed.add(kube, f"uid-{number}", entry)
    data = api.objects[LIST]["data"]
    assert len(data) == MOST
    assert "uid-2" not in data
    assert sum(map(len, data.values())) < 700_000


async def test_who_leaves_many_hosts_makes_nobody_elses_forgotten(api: FakeApi, kube: Kube) -> None:
    pool(api)
    listed = Abandoned()
    await listed.load(kube, "kok-system")

    async def leave(namespace: str, number: int) -> None:
        entry = AbandonedHost(
            namespace=namespace,
            machine=f"m{number}",
            cluster="shop",
            address="192.0.2.1",
            since=NOW + timedelta(seconds=number),
        )
        await listed.add(kube, f"{namespace}-{number}", entry)

    for number in range(3):
        await leave("team-a", number)
    for number in range(MOST + 20):
        await leave("greedy", 100 + number)
    await leave("team-b", 0)
    data = api.objects[LIST]["data"]
    assert {"team-a-0", "team-a-1", "team-a-2", "team-b-0"} <= data.keys()
    assert f"greedy-{100 + MOST + 19}" in data
    assert len(data) == MOST
    assert data.keys() == listed.known.keys()


async def test_without_the_right_to_list_it_a_machine_goes_nevertheless(
    api: FakeApi, kube: Kube
) -> None:
    pool(api)

    async def forbid(_request: web.Request) -> web.StreamResponse:
        return refused(403, "Forbidden", "no")

    api.script("PATCH", "/configmaps/", forbid)
    listed = Abandoned()
    await listed.load(kube, "kok-system")
    going, _ = removal(
        None,
        0,
        kube=kube,
        abandoned=listed,
        machine=installed(601),
        credentials=None,
        refusal=GONE,
        cluster=None,
    )
    assert await going.step() is DONE
