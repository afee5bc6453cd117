"""Machines that go: how long a host is cleaned up, and what becomes of one that stays uncleaned."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from tests.unit.fakeapi import FakeApi
from tests.unit.fakeapi import refusal as refused
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.operations.removals import (
    GONE,
    HOST,
    LIST,
    installed,
    pool,
    removal,
)

from kok.api.machine.machine import HostPlace
from kok.kube.client import Kube
from kok.operators.machine.host.abandoned_hosts import Abandoned
from kok.operators.machine.remote.commands import HostTaken
from kok.operators.machine.remote.session import LEAST, Session
from kok.operators.machine.remote.ssh import Credentials, Expected, Target
from kok.operators.machine.remote.survey import Owner
from kok.runtime.controller.errors import Wait


async def test_a_host_that_stays_uncleaned_is_dirty_listed_and_counted(
    api: FakeApi, kube: Kube
) -> None:
    pool(api)
    listed = Abandoned()
    await listed.load(kube, "kok-system")
    hopeless = {"credentials": None, "refusal": GONE, "cluster": None}
    going, p = removal(None, 0, kube=kube, abandoned=listed, machine=installed(601), **hopeless)
    assert await going.run() is None
    assert api.objects[HOST]["status"]["usedBy"] == {
        "machine": "shop-workers-w1",
        "uid": "uid-shop-workers-w1",
        "cluster": "shop",
        "address": "192.0.2.21",
        "port": 22,
        "jump": "",
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
            None,
            0,
            kube=kube,
            session=session,
            abandoned=listed,
            machine=machine,
            cluster=None,
            client=Busy(),
        )
        if ends:
            assert await going.run() is None
        else:
            with pytest.raises(Wait, match="cleaning up host"):
                await going.run()
            assert session.doing == "clean"
            await asyncio.sleep(0)
    assert [entry.why for entry in listed.known.values()] == ["it was not done in time"]


KEY, OTHER = "SHA256:" + "A" * 43, "SHA256:" + "B" * 43
ELSEWHERE = HostTaken("host 192.0.2.21 serves somebody else", Owner("uid-of-another"))


class Way:
    """A way to a host, and how it was asked to clean it up."""

    def __init__(self, port: int, key: str, source: str = "spec", jump: str = "") -> None:
        password = Credentials(password="p")
        by = Target(jump, 2201, "jump", "team-a/ops-ssh", password, Expected(KEY, "jump"))
        self.target = Target(
            address="192.0.2.21",
            port=port,
            user="ops",
            secret="team-a/ops-ssh",
            credentials=password,
            expected=Expected(key, source),
            jump=by if jump else None,
        )
        self.marked: list[bool] = []

    async def clean(self, owner: Owner, *, marked: bool = False) -> None:
        self.marked.append(marked)


class Busy(Way):
    """A way to a host on which the clean-up does not come to an end."""

    def __init__(self) -> None:
        super().__init__(22, KEY)

    async def clean(self, owner: Owner, *, marked: bool = False) -> None:
        await asyncio.Event().wait()


async def cleaning(
    kube: Kube,
    way: Way,
    *,
    error: HostTaken | None = None,
    recorded: bool = True,
    jump: str | None = "",
) -> tuple[Session, str]:
    """A pass over the removal of a Machine that was installed at port 22; what it waits for."""
    session, machine = Session(lambda: 0.0), installed(1)
    session.memory.error = error
    if recorded:
        place = HostPlace(address="192.0.2.21", port=22, jump=jump, host_key=KEY)
        machine.status.installed_on = place
    going, _ = removal(
        None, 0, kube=kube, session=session, machine=machine, cluster=None, client=way
    )
    said = ""
    try:
        await going.run()
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


BASTION = "203.0.113.9 port 2201"


@pytest.mark.parametrize(
    ("jump", "key", "marked"),
    [
        (BASTION, OTHER, False),
        ("203.0.113.9", OTHER, True),
        ("203.0.113.8 port 2201", OTHER, True),
        ("", OTHER, True),
        # The same key: it is the host, whichever way leads to it.
        ("203.0.113.8 port 2201", KEY, False),
        # Recorded by a release that did not say.
        (None, OTHER, False),
    ],
)
async def test_behind_another_bastion_the_same_address_may_be_another_host(
    api: FakeApi, kube: Kube, jump: str | None, key: str, *, marked: bool
) -> None:
    pool(api)
    way = Way(22, key, "annotation", "203.0.113.9")
    await cleaning(kube, way, jump=jump)
    assert way.marked == [marked]


async def test_the_bastion_is_named_where_it_says_which_host_it_was(
    api: FakeApi, kube: Kube
) -> None:
    pool(api)
    _, said = await cleaning(kube, Way(22, OTHER, jump="203.0.113.9"), error=ELSEWHERE)
    assert f"spec names port 22, behind bastion {BASTION} and key {OTHER}" in said
    assert "write port, ssh.jump and hostKey as they were" in said


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
    machine.status.installed_on = HostPlace(
        address="192.0.2.21", port=22, jump=BASTION, host_key=KEY
    )
    hopeless = {"credentials": None, "refusal": GONE, "cluster": None}
    going, _ = removal(None, 0, kube=kube, abandoned=listed, machine=machine, **hopeless)
    assert await going.run() is None
    assert [(e.port, e.jump) for e in listed.known.values()] == [(22, BASTION)]
    used = api.objects[HOST]["status"]["usedBy"]
    assert (used["port"], used["jump"], used["hostKey"]) == (22, BASTION, KEY)


async def test_a_clean_up_has_its_whole_time_whatever_the_drain_took(
    api: FakeApi, kube: Kube
) -> None:
    pool(api)
    hopeless = {"credentials": None, "refusal": GONE, "cluster": None}
    going, p = removal(None, 0, kube=kube, machine=installed(None), **hopeless)
    with pytest.raises(Wait) as told:
        await going.run()
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
    assert await going.run() is None
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
    assert await going.run() is None
    assert "usedBy" not in api.objects[HOST]["status"]


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
    assert await going.run() is None
