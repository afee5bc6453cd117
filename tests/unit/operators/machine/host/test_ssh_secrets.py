"""Secrets that are held as long as a host has to be cleaned up with them, and not for longer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW

from kok.api.machine.host import Host
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest, Resource
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.machine.host.ssh_secrets import FINALIZER, Keeper, hold, needed
from kok.operators.machine.machine_lists import MachineLists
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings

SECRET = "/api/v1/namespaces/team-a/secrets/ops-ssh"
TOUCHED = {"components": [{"name": "kubelet", "config": "1"}]}
GATE = {"address": "192.0.2.1", "user": "jump", "hostKey": "SHA256:" + "B" * 43}
DELETED = {"deletionTimestamp": NOW.isoformat()}


def secret(*, deleted: bool = False, finalizers: tuple[str, ...] = (FINALIZER,)) -> Manifest:
    meta: dict[str, Any] = {"name": "ops-ssh", "namespace": "team-a"}
    meta["finalizers"] = list(finalizers)
    return {"metadata": {**meta, **(DELETED if deleted else {})}}


def machine(*, touched: bool = True, deleted: bool = False, **spec: Any) -> Machine:
    status = TOUCHED if touched else {}
    return builders.machine(metadata=DELETED if deleted else {}, status=status, **spec)


def host(*, dirty: bool = True, deleted: bool = False) -> Host:
    use = {"machine": "w1", "uid": "gone", "cluster": "shop"}
    return Host.parse(
        {
            "metadata": builders.meta("w9", **(DELETED if deleted else {})),
            "spec": {"address": "192.0.2.9", "ssh": {"secret": "ops-ssh"}},
            "status": {"usedBy": use} if dirty else {},
        }
    )


@pytest.mark.parametrize(
    ("gone", "users", "seconds", "kept"),
    [
        (False, [machine()], 0, True),
        # A host that nothing was changed on needs no clean-up.
        (False, [machine(touched=False)], 0, False),
        (False, [machine(ssh={"secret": "other"})], 0, False),
        # That of a bastion.
        (False, [machine(ssh={"secret": "other", "jump": {**GATE, "secret": "ops-ssh"}})], 0, True),
        (False, [host()], 0, True),
        (False, [host(dirty=False)], 0, False),
        # The Secret of a namespace that is being deleted, its Machine after it.
        (True, [machine(deleted=True)], 3600, True),
        (True, [host(deleted=True)], 3600, True),
        # What is deleted first must not be gone before the rest is deleted, too.
        (True, [machine()], 59, True),
        # Whoever deletes the Secret alone means it.
        (True, [machine()], 60, False),
        (True, [], 0, False),
    ],
)
def test_who_needs_a_secret(
    *, gone: bool, users: list[Machine | Host], seconds: float, kept: bool
) -> None:
    machines = [user for user in users if isinstance(user, Machine)]
    hosts = [user for user in users if isinstance(user, Host)]
    now = NOW + timedelta(seconds=seconds)
    assert needed(secret(deleted=gone), machines, hosts, now) == kept


def passing(kube: Kube, obj: Resource) -> Pass[Any]:
    return Pass(
        obj=obj,
        status=obj.status.model_copy(deep=True),  # type: ignore[attr-defined]
        kube=kube,
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )


def stored(api: FakeApi, one: Machine) -> Machine:
    path = f"/apis/kok.dev/v1alpha1/namespaces/team-a/machines/{one.name}"
    api.put(path, one.manifest())
    return one


async def test_the_finalizer_is_set_once_beside_those_of_others(api: FakeApi, kube: Kube) -> None:
    api.put(SECRET, secret(finalizers=("example.com/theirs",)))
    for _ in range(2):
        live = await kube.get(kinds.SECRET, "ops-ssh", "team-a")
        assert live
        await hold(kube, live)
    assert api.objects[SECRET]["metadata"]["finalizers"] == ["example.com/theirs", FINALIZER]
    assert len(api.writes) == 1


async def test_of_two_machines_that_go_at_once_one_frees_the_secret(
    api: FakeApi, kube: Kube
) -> None:
    """Each still sees the other, which is as good as gone."""
    api.put(SECRET, secret(finalizers=("example.com/theirs", FINALIZER)))
    both = [
        stored(api, builders.machine(metadata={"name": f"w{n}", **DELETED}, status=TOUCHED))
        for n in range(2)
    ]
    clock = FakeClock(NOW)
    keeper = Keeper(MachineLists(clock.monotonic).now)
    for one in both:
        assert FINALIZER in api.objects[SECRET]["metadata"]["finalizers"]
        live = await kube.get(kinds.SECRET, "ops-ssh", "team-a")
        await clock.advance(1.0)
        await keeper.let_go(passing(kube, one), live, leaving=True)
    assert api.objects[SECRET]["metadata"]["finalizers"] == ["example.com/theirs"]


@pytest.mark.parametrize("kind", [Machine, Host])
async def test_one_that_cannot_be_read_counts_as_one_that_needs_the_secret(
    api: FakeApi, kube: Kube, kind: type[Machine | Host]
) -> None:
    api.put(SECRET, secret(finalizers=("example.com/theirs", FINALIZER)))
    plural = kind.info.kind.plural
    path = f"/apis/kok.dev/v1alpha1/namespaces/team-a/{plural}/odd"
    api.put(path, {"spec": {"port": "x"}, "metadata": {"name": "odd", "namespace": "team-a"}})
    clock = FakeClock(NOW)
    keeper = Keeper(MachineLists(clock.monotonic).now)
    going = builders.machine(metadata={"name": "w1", **DELETED}, status=TOUCHED)
    for kept in (True, False):
        await clock.advance(1.0)
        live = await kube.get(kinds.SECRET, "ops-ssh", "team-a")
        await keeper.let_go(passing(kube, going), live, leaving=True)
        assert (FINALIZER in (api.objects[SECRET]["metadata"].get("finalizers") or ())) == kept
        api.objects.pop(path, None)


async def test_the_secret_of_a_bastion_is_held_and_let_go_like_the_one_of_its_host(
    api: FakeApi, kube: Kube
) -> None:
    gate = SECRET.replace("ops-ssh", "gate")
    api.put(SECRET, secret(finalizers=()))
    theirs = {"name": "gate", "namespace": "team-a", "finalizers": ["example.com/theirs"]}
    api.put(gate, {"metadata": theirs})
    ssh = {"secret": "ops-ssh", "jump": {**GATE, "secret": "gate"}}
    clock = FakeClock(NOW)
    keeper = Keeper(MachineLists(clock.monotonic).now)

    async def kept(one: Machine) -> Machine:
        stored(api, one)
        p = passing(kube, one)

        async def latching() -> None:
            stored(api, one.model_copy(update={"status": p.status}))

        p.latching = latching
        both = [await kube.get(kinds.SECRET, name, "team-a") for name in ("ops-ssh", "gate")]
        await keeper.keep(p, both[0], both[1] if one.spec.ssh.jump is not None else None)
        return one.model_copy(update={"status": p.status})

    def held(path: str) -> bool:
        return FINALIZER in (api.objects[path]["metadata"].get("finalizers") or ())

    first = await kept(machine(ssh=ssh))
    assert (held(SECRET), held(gate), first.status.jump_secret) == (True, True, "gate")
    # The host is no longer reached by a bastion.
    await clock.advance(10.0)
    direct = machine(ssh={"secret": "ops-ssh"})
    second = await kept(direct.model_copy(update={"status": first.status}))
    assert (held(SECRET), held(gate), second.status.jump_secret) == (True, False, None)
