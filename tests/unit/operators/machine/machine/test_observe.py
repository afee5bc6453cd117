"""What a pass over a Machine sees, and what it makes of others."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import Any

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.views import hosts, machine_view
from tests.unit.operators.machine.views import observed as around

from kok.api.machine.machine import Machine
from kok.api.meta import Kind, Manifest
from kok.api.unreadable import Unreadable
from kok.kube.client import Kube
from kok.kube.decoding.nesting import parse
from kok.kube.objects.machines import brief
from kok.operators.machine import reasons
from kok.operators.machine.host import ssh_secrets
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.observe import (
    COMPONENT,
    ObservedObjects,
    Observer,
    first_contact,
    neighbours,
    rival,
)
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node.cluster_connections import ClusterConnections
from kok.operators.machine.remote.ssh import Credentials
from kok.operators.machine.remote.survey import Owner
from kok.operators.machine.settings import MachineSettings


@pytest.mark.parametrize("changed", [{"tokenId": "abc123"}, {"components": True}, {}])
def test_of_others_machines_little_is_kept_and_all_that_matters(changed: dict[str, Any]) -> None:
    job = {"id": "j", "script": "install", "since": CREATED, "log": "x" * 4000}
    condition = {"status": "True", "reason": "R", "lastTransitionTime": CREATED}
    done = [{"name": "runc"}, {"name": "kubelet", "job": job}]
    status = {
        "sshSecret": "earlier",
        "facts": {"hostname": "w1", "machineID": "m", "addresses": ["192.0.2.1"] * 60},
        "conditions": [{**condition, "type": f"C{n}"} for n in range(30)],
        **changed,
        **({"components": done} if "components" in changed else {}),
    }
    whole = builders.machine(
        metadata={"annotations": {f"a{n}": "x" * 100 for n in range(1000)}},
        labels={f"l{n}": "x" for n in range(60)},
        status=status,
    )
    kept = brief(whole.manifest())
    assert len(json.dumps(kept)) < 2000
    found = Machine.parse(kept)
    for secret in ("ops-ssh", "earlier", "other"):
        assert ssh_secrets._needs(found, secret) == ssh_secrets._needs(whole, secret)
    assert ssh_secrets.touched(whole.status) == bool(changed)
    newer = builders.machine(
        metadata={"name": "newer", "creationTimestamp": "2027-01-01T00:00:00Z"}
    )
    assert rival(newer, [found]) == rival(newer, [whole]) is not None
    seen_by = [neighbours(newer, around(others=(one,))) for one in (found, whole)]
    assert seen_by[0] == seen_by[1] != {}


KEY = "SHA256:" + "A" * 43
CREATED = "2026-11-02T11:00:00Z"


def test_a_password_goes_to_no_host_that_nobody_vouched_for() -> None:
    secret = Credentials(password="p")
    problem = first_contact(builders.machine(), secret, first_use=True)
    assert problem is not None
    assert problem.reason == "HostKeyRequired"
    assert problem.message.startswith("hostKey of host 192.0.2.21 is missing, and Secret team-a/")
    assert "ssh-keygen -lf" in problem.message
    for known in (
        builders.machine(hostKey=KEY),
        builders.machine(status={"hostKey": KEY}),
        builders.machine(metadata={"annotations": {"kok.dev/trust-host-key": KEY}}),
    ):
        assert first_contact(known, secret, first_use=False) is None


def test_trust_at_first_use_can_be_forbidden_altogether() -> None:
    # A key proves something to the host and tells it nothing.
    assert first_contact(builders.machine(), Credentials(), first_use=True) is None
    problem = first_contact(builders.machine(), Credentials(), first_use=False)
    assert problem is not None
    assert "this installation trusts no host at first use" in problem.message


MIB = 2**20


class Namespace:
    """A meta cluster with a namespace in which every Component is like this one."""

    def __init__(self, characters: int) -> None:
        # One character beyond U+FFFF has all others take four bytes.
        parameters = {"default": "x" * characters + "\U0001f600"}
        component = builders.component(parameters=parameters)
        self.text = json.dumps(component.manifest(), ensure_ascii=False).encode()
        self.read: list[str] = []

    async def get(self, kind: Kind, name: str, *_: object, **__: object) -> Manifest | None:
        await asyncio.sleep(0)
        if kind != COMPONENT:
            return {"metadata": {"uid": "installation"}} if kind.kind == "Namespace" else None
        self.read.append(name)
        found: Manifest = parse(bytes(self.text))
        return found


@pytest.mark.parametrize(
    ("changed", "watched", "gone"),
    [
        ({}, (), True),
        ({"uid": "uid-there"}, (), False),
        ({"machine": "team-b/never-was"}, (), True),
        ({"installation": "another"}, (), False),
        # What a host says is no path of the API.
        ({"machine": "team-b/../secrets/x"}, (), False),
        ({"machine": "team-b"}, (), False),
        # Nobody here knows about those whom another operator looks after.
        ({}, ("team-a",), False),
        ({}, ("team-a", "team-b"), True),
    ],
)
async def test_whether_the_owner_of_a_host_is_gone_is_asked_about_it_alone(
    api: FakeApi, kube: Kube, changed: dict[str, str], watched: tuple[str, ...], gone: bool
) -> None:
    meta = {"name": "m1", "namespace": "team-b", "uid": "uid-there"}
    there = builders.machine(metadata=meta).manifest()
    # One that nobody can read is there all the same.
    there["spec"]["port"] = "twenty-two"
    api.put("/apis/kok.dev/v1alpha1/namespaces/team-b/machines/m1", there)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}}
    namespace["metadata"]["uid"] = "meta-1"  # type: ignore[index]
    api.put("/api/v1/namespaces/kube-system", namespace)
    owner = {"uid": "uid-gone", "machine": "team-b/m1", "installation": "meta-1", **changed}
    observer = Observer(
        ClusterConnections(1.0),
        MachineLists(lambda: 0.0),
        hosts(MachineSettings()),
        inside=False,
    )
    world = await observer.observe(
        kube,
        builders.machine(),
        others=False,
        since=0.0,
        wake=lambda: None,
        owner=Owner(**owner),
        watched=watched,
    )
    assert world.left_behind is gone


async def observed(kube: Any, machine: Machine) -> ObservedObjects:
    there = hosts(MachineSettings())
    observer = Observer(ClusterConnections(1.0), MachineLists(lambda: 0.0), there, inside=False)
    return await observer.observe(kube, machine, others=False, since=0.0, wake=lambda: None)


def with_software(many: int) -> Machine:
    return builders.machine(components=[{"name": f"c{i}", "version": "1"} for i in range(many)])


async def test_passes_of_one_namespace_hold_a_bounded_part_of_its_components() -> None:
    kube, machine = Namespace(MIB // 5), with_software(64)
    tracemalloc.start()
    worlds = await asyncio.gather(*(observed(kube, machine) for _ in range(12)))
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 160 * MIB
    assert kept < 32 * MIB
    assert len(kube.read) == 12 * 5, "what is too much is not even read"
    for world in worlds:
        assert world.beyond == "c4-1"


def test_the_machine_says_which_component_is_too_much() -> None:
    step = decide.decide(machine_view(objects=around(components={}, beyond="c4-1"))).step
    assert step.refusal is not None
    assert step.refusal.reason == reasons.COMPONENTS_TOO_LARGE
    assert "team-a/c4-1" in step.refusal.message


async def test_what_a_machine_may_hold_is_read_whole() -> None:
    machine = with_software(64)
    world = await observed(Namespace(10_000), machine)
    assert len(world.components) == 64
    assert not world.beyond


async def test_of_a_machine_that_goes_no_component_is_read() -> None:
    kube = Namespace(MIB)
    machine = with_software(64)
    machine.metadata.deletion_timestamp = builders.NOW
    assert not (await observed(kube, machine)).components
    assert kube.read == []


def test_the_node_of_an_older_machine_that_nobody_can_read_is_still_its_own() -> None:
    def odd(**meta: Any) -> Unreadable:
        old = builders.machine(metadata={"name": "old", **meta}, address="192.0.2.99")
        return Unreadable("Machine", old.manifest(), "spec.port: is no number")

    young = builders.machine(metadata={"creationTimestamp": "2026-11-02T11:59:30Z"})
    problem = rival(young, (), [odd()])
    assert problem is not None
    assert problem.reason == "NodeNameTaken"
    assert "Machine team-a/old cannot be read" in problem.message
    # One that came later, or of another namespace, takes nothing away.
    assert rival(young, (), [odd(creationTimestamp="2026-11-02T11:59:31Z")]) is None
    assert rival(young, (), [odd(namespace="team-b")]) is None
