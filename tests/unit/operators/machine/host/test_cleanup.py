"""Cleaning up hosts of the pool: what a Host says of its Machine reaches nobody else's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW

from kok.api.machine.host import AbandonedHost, Host
from kok.kube.client import Kube
from kok.operators.machine.host.abandoned_hosts import Abandoned
from kok.operators.machine.host.cleanup import Cleaner
from kok.operators.machine.host.reconcile import HostReconciler
from kok.operators.machine.machine.reconcile import MachineReconciler
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.remote.commands import HostTaken
from kok.operators.machine.remote.hosts import HostClient
from kok.operators.machine.remote.session import LEAST
from kok.operators.machine.remote.survey import Owner
from kok.operators.machine.settings import MachineSettings
from kok.runtime.clock import FakeClock
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import DONE, Pass
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.settings import Settings

VICTIM = "11111111-2222-3333-4444-555555555555"
"""UID of a Machine of another namespace, which stands on its host for everybody there to read."""
LIST = "/api/v1/namespaces/kok-system/configmaps/kok-abandoned-hosts"
HOST = "/apis/kok.dev/v1alpha1/namespaces/evil/hosts/h"
KEY, OTHER = "SHA256:" + "A" * 43, "SHA256:" + "B" * 43


@pytest.fixture
async def machines() -> AsyncIterator[MachineReconciler]:
    """The parts of the operator that Hosts share with Machines."""
    clock = FakeClock(NOW)
    settings = MachineSettings(forbidden_ranges=[])
    made = MachineReconciler(settings, SandboxPool(), MachineLists(clock.monotonic), clock=clock)
    yield made
    await made.close()


def forged(uid: str = VICTIM) -> Host:
    return Host.parse(
        {
            "metadata": builders.meta("h", namespace="evil"),
            # Nobody listens there.
            "spec": {"address": "127.0.0.1", "port": 1, "ssh": {"secret": "s"}, "hostKey": KEY},
            "status": {"usedBy": {"machine": "m", "uid": uid, "cluster": "c"}},
        }
    )


def cleaner_of(machines: MachineReconciler) -> Cleaner:
    return Cleaner(machines.hosts, machines.abandoned, machines.keeper)


def passing(kube: Kube, host: Host) -> Pass[Any]:
    return Pass(
        obj=host,
        status=host.status.model_copy(deep=True),
        kube=kube,
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )


async def forever() -> None:
    await asyncio.Event().wait()


def entry(namespace: str) -> AbandonedHost:
    return AbandonedHost(
        namespace=namespace, machine="m", cluster="c", address="192.0.2.1", since=NOW
    )


async def test_a_host_that_names_somebody_elses_machine_reaches_nothing_of_it(
    api: FakeApi, kube: Kube, machines: MachineReconciler
) -> None:
    api.put("/api/v1/namespaces/evil/secrets/s", {"data": {"password": "eA=="}})
    await machines.abandoned.load(kube, "kok-system")
    await machines.abandoned.add(kube, VICTIM, entry("team-a"))
    cleaner = cleaner_of(machines)
    victim = machines.hosts.sessions.of(VICTIM)
    victim.memory.survey = builders.survey()
    victim.start("install", forever(), lambda: None)

    assert not await cleaner.clean(passing(kube, forged()))
    own = machines.hosts.sessions.of("uid-h")
    assert own.doing == "clean"
    await asyncio.sleep(0)
    # Its own host says that all went well.
    own.memory.cleaned = True
    assert await cleaner.clean(passing(kube, forged()))

    assert victim is machines.hosts.sessions.of(VICTIM)
    assert victim.doing == "install"
    assert victim.memory.survey is not None
    assert not victim.memory.cleaned
    assert victim.target is None
    assert machines.abandoned.known[VICTIM].namespace == "team-a"
    assert VICTIM in api.objects[LIST]["data"]


async def test_nobody_enters_a_host_under_the_uid_of_somebody_elses_machine(
    api: FakeApi, kube: Kube, machines: MachineReconciler
) -> None:
    """Its removal would take it for one that was given up, and leave the host as it is."""
    listed = machines.abandoned
    await listed.load(kube, "kok-system")
    cleaner = Cleaner(machines.hosts, listed, machines.keeper)
    await cleaner.abandon(passing(kube, forged()))
    assert not listed.holds("team-a", VICTIM)
    assert list(listed.known) == ["uid-h"]
    await listed.add(kube, VICTIM, entry("team-a"))
    assert listed.holds("team-a", VICTIM)
    # A second word on one's own, and a word on that of others.
    await listed.cleaned(kube, "evil", VICTIM)
    await listed.cleaned(kube, "evil", "uid-h")
    assert list(listed.known) == [VICTIM] == list(api.objects[LIST]["data"])


async def test_what_was_found_of_one_machines_remains_says_nothing_of_anothers(
    api: FakeApi, kube: Kube, machines: MachineReconciler
) -> None:
    del api
    cleaner = Cleaner(machines.hosts, Abandoned(), machines.keeper)
    assert not await cleaner.clean(passing(kube, forged("one")))
    machines.hosts.sessions.of("uid-h").memory.cleaned = True
    assert not await cleaner.clean(passing(kube, forged("two")))


@pytest.mark.parametrize("leaving", [False, True])
async def test_the_host_of_a_machine_that_lost_its_label_is_not_cleaned_up(
    api: FakeApi, kube: Kube, machines: MachineReconciler, leaving: bool
) -> None:
    """As after a change of a KubeNode from a pool to hosts of the same names."""
    cleaner = cleaner_of(machines)
    reconciler = HostReconciler(cleaner, MachineSettings())
    living = builders.machine(status={"phase": "Ready"}).manifest()
    name, uid = living["metadata"]["name"], living["metadata"]["uid"]
    living["metadata"]["labels"] = {}
    api.put(f"/apis/kok.dev/v1alpha1/namespaces/team-a/machines/{name}", living)
    host = Host.parse(
        {
            "metadata": builders.meta("h"),
            "spec": {"address": "127.0.0.1", "port": 1, "ssh": {"secret": "s"}, "hostKey": KEY},
            "status": {"usedBy": {"machine": name, "uid": uid, "cluster": "shop"}},
        }
    )
    p = passing(kube, host)
    if leaving:
        assert await reconciler.finalize(p) is DONE, "the Machine goes on without it"
        gone = {**living["metadata"], "deletionTimestamp": "2026-11-02T11:00:00Z"}
        going = {**living, "metadata": {**gone, "finalizers": ["kok.dev/machine-operator"]}}
        api.put(f"/apis/kok.dev/v1alpha1/namespaces/team-a/machines/{name}", going)
        with pytest.raises(Wait, match=re.escape(f"Machine {name} still uses it")):
            await reconciler.finalize(p)
    else:
        result = await reconciler.reconcile(p)
        assert (p.status.phase, p.status.machine) == ("Claimed", name)
        assert result.requeue_after is not None, "its end is told to nobody"
    assert not machines.hosts.sessions.of(host.metadata.uid).doing
    # Another one of its name is not it.
    api.put(
        f"/apis/kok.dev/v1alpha1/namespaces/team-a/machines/{name}",
        {**living, "metadata": {**living["metadata"], "uid": "of-a-later-one"}},
    )
    if not leaving:
        await reconciler.reconcile(p)
        assert p.status.phase == "Dirty"


async def test_a_host_that_goes_is_not_given_up_before_it_was_tried_to_clean_it(
    api: FakeApi, kube: Kube, machines: MachineReconciler
) -> None:
    """It was deleted while the operator was away."""
    api.put("/api/v1/namespaces/evil/secrets/s", {"data": {"password": "eA=="}})
    await machines.abandoned.load(kube, "kok-system")
    cleaner = cleaner_of(machines)
    reconciler, host = HostReconciler(cleaner, MachineSettings()), forged()
    host.metadata.deletion_timestamp = NOW - timedelta(hours=1)
    with pytest.raises(Wait, match="gives up at 12:01:00 UTC"):
        await reconciler.finalize(passing(kube, host))
    session = machines.hosts.sessions.of(host.metadata.uid)
    assert session.doing == "clean"
    session.memory.clean_seen = NOW - LEAST
    assert await reconciler.finalize(passing(kube, host)) is DONE
    assert list(machines.abandoned.known) == ["uid-h"]


async def test_another_host_is_not_cleaned_in_the_place_of_the_one_that_was_used(
    api: FakeApi, kube: Kube, machines: MachineReconciler
) -> None:
    """Somebody replaced a dead box, and wrote the address of the new one into the Host."""
    api.put("/api/v1/namespaces/evil/secrets/s", {"data": {"password": "eA=="}})
    await machines.abandoned.load(kube, "kok-system")
    cleaner = cleaner_of(machines)
    host = forged()
    assert host.status.used_by is not None
    host.status.used_by.address, host.status.used_by.port = "192.0.2.7", 22
    p = passing(kube, host)
    assert not await cleaner.clean(p)
    assert not machines.hosts.sessions.of(host.metadata.uid).doing
    assert "it was at 192.0.2.7, port 22, and spec names 127.0.0.1, port 1" in cleaner.sentence(p)
    await cleaner.abandon(p)
    assert [(e.address, e.port) for e in machines.abandoned.known.values()] == [("192.0.2.7", 22)]
    # Where it was, it is cleaned.
    host.status.used_by.address, host.status.used_by.port = "127.0.0.1", 1
    assert not await cleaner.clean(passing(kube, host))
    assert machines.hosts.sessions.of(host.metadata.uid).doing == "clean"


@pytest.mark.parametrize(
    ("port", "key", "trusted", "same"),
    [
        (1, KEY, "", True),
        # Its sshd listens at another port by now.
        (22, KEY, "", True),
        (1, OTHER, KEY, True),
        (1, OTHER, "", False),
        (22, OTHER, "", False),
        (22, OTHER, KEY, False),
    ],
)
async def test_nor_one_with_another_key_unless_it_bears_the_mark(
    api: FakeApi,
    kube: Kube,
    machines: MachineReconciler,
    monkeypatch: pytest.MonkeyPatch,
    port: int,
    key: str,
    trusted: str,
    *,
    same: bool,
) -> None:
    """Behind the same address, as of a NAT, there may be another box."""
    api.put("/api/v1/namespaces/evil/secrets/s", {"data": {"password": "eA=="}})
    marked: list[bool] = []

    async def clean(self: HostClient, owner: Owner, *, marked: bool = False) -> None:
        asked(marked)
        raise HostTaken("host 127.0.0.1 serves somebody else", Owner("uid-of-another"))

    asked = marked.append
    monkeypatch.setattr(HostClient, "clean", clean)
    cleaner, host = cleaner_of(machines), forged()
    used = host.status.used_by
    assert used is not None
    used.address, used.port, used.host_key = "127.0.0.1", port, key
    host.metadata.annotations["kok.dev/trust-host-key"] = trusted
    p, ended = passing(kube, host), asyncio.Event()
    p.wake = ended.set
    assert not await cleaner.clean(p)
    await ended.wait()
    assert marked == [not same]
    # What is somebody else's by now was cleaned before, if it is the one that was used.
    assert await cleaner.clean(p) is same
    if not same:
        assert f"it was installed on the host at 127.0.0.1, port {port}, with key {key}" in (
            cleaner.sentence(p)
        )
