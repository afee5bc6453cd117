"""What an administrator allows of hosts and of the Secrets by which they are reached."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.remote.ssh.test_connection import PATIENT, target
from tests.unit.operators.machine.shop import Shop
from tests.unit.operators.machine.sshd import fake_host
from tests.unit.operators.machine.views import hosts

from kok.api.meta import Manifest
from kok.kube.errors import Barred, Unreachable
from kok.operators.machine.machine.observe import ObservedObjects, Observer
from kok.operators.machine.machine.reconcile import MachineReconciler
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node.cluster_connections import ClusterConnections
from kok.operators.machine.remote.ssh.address_ranges import Bounds
from kok.operators.machine.remote.ssh.errors import HostForbidden
from kok.operators.machine.remote.ssh.login import connect, scan
from kok.operators.machine.settings import MachineSettings
from kok.runtime.policy import Policies
from kok.runtime.sandbox.pool import SandboxPool


class Secrets:
    """A meta cluster that has one Secret, with a password."""

    def __init__(self, **labels: str) -> None:
        self.labels = labels

    async def get(
        self, kind: Any, name: str, _namespace: str | None = None, **_: object
    ) -> Manifest | None:
        if kind.kind != "Secret" or name != "ops-ssh":
            return None
        meta = {"name": name, "namespace": "team-a", "labels": self.labels}
        return {"kind": "Secret", "metadata": meta, "data": {"password": "cGFzcw=="}}


async def seen(kube: Any, policies: Policies, **spec: Any) -> ObservedObjects:
    clusters = ClusterConnections(1.0)
    observer = Observer(clusters, MachineLists(lambda: 0.0), hosts(policies), inside=False)
    return await observer.observe(
        kube, builders.machine(**spec), others=False, since=0.0, wake=lambda: None
    )


def refused(world: ObservedObjects) -> tuple[str, str]:
    assert world.credentials is None
    assert world.refusal is not None
    return world.refusal.reason, world.refusal.message


async def test_a_host_at_an_address_that_is_not_allowed_gets_no_credentials() -> None:
    some = Policies(allowed_ssh_ranges=("198.51.100.0/24",))
    reason, message = refused(await seen(Secrets(), some))
    assert reason == "ForbiddenByPolicy"
    assert message.startswith("spec.address: 192.0.2.21 is not allowed")
    assert (await seen(Secrets(), some, address="198.51.100.7")).credentials is not None


async def test_no_host_is_where_clouds_serve_a_machines_credentials() -> None:
    for address in ("169.254.169.254", "127.0.0.1", "2852039166"):
        reason, _ = refused(await seen(Secrets(), Policies(), address=address))
        assert reason == "ForbiddenByPolicy"


async def test_a_secret_that_is_not_meant_for_ssh_is_not_used() -> None:
    strict = Policies(ssh_secrets_labelled=True)
    reason, message = refused(await seen(Secrets(), strict))
    assert reason == "ForbiddenByPolicy"
    assert 'label it kok.dev/ssh-credentials: "true"' in message
    labelled = Secrets(**{"kok.dev/ssh-credentials": "true"})
    assert (await seen(labelled, strict)).credentials is not None


def through(**changes: Any) -> dict[str, Any]:
    jump = {"address": "198.51.100.9", "user": "jump", "hostKey": "SHA256:" + "B" * 43, **changes}
    return {"secret": "ops-ssh", "jump": jump}


async def test_a_bastion_is_logged_in_to_by_the_secret_of_its_hosts_or_by_its_own() -> None:
    found = (await seen(Secrets(), Policies(), ssh=through())).bastion
    assert found is not None
    assert (found.address, found.user, found.secret) == ("198.51.100.9", "jump", "team-a/ops-ssh")
    assert found.expected.fingerprint == "SHA256:" + "B" * 43
    reason, message = refused(await seen(Secrets(), Policies(), ssh=through(secret="gate")))
    assert reason == "SecretMissing"
    assert message.startswith("Secret team-a/gate does not exist")


async def test_policies_are_about_bastions_and_about_the_hosts_behind_them() -> None:
    some = Policies(allowed_ssh_ranges=("198.51.100.0/24",))
    assert refused(await seen(Secrets(), some, ssh=through()))[1].startswith(
        "spec.address: 192.0.2"
    )
    inside = "198.51.100.7"
    assert (await seen(Secrets(), some, ssh=through(), address=inside)).credentials is not None
    elsewhere = through(address="192.0.2.1")
    _, message = refused(await seen(Secrets(), some, ssh=elsewhere, address=inside))
    assert message.startswith("spec.ssh.jump.address: 192.0.2.1 is not allowed")
    _, message = refused(await seen(Secrets(), Policies(), ssh=through(), address="w1.example"))
    assert message == "spec.address: w1.example is a name; behind a bastion write an IP address"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_name_is_judged_by_what_it_stands_for_when_a_connection_is_made(
    tmp_path: Path, name: str
) -> None:
    elsewhere, closed = Bounds(["198.51.100.0/24"]), Bounds(closed=["127.0.0.0/8", "::1/128"])
    async with fake_host(tmp_path / "kok") as host:
        for act in (
            scan(name, host.port, PATIENT, bounds=elsewhere),
            connect(target(host, address=name), PATIENT, elsewhere),
            scan(name, host.port, PATIENT, bounds=closed),
        ):
            with pytest.raises(HostForbidden, match="allows no hosts"):
                await act
        assert host.logins == []
        allowed = Bounds(["127.0.0.0/8", "::1/128"], ["169.254.0.0/16"])
        assert await scan("127.0.0.1", host.port, PATIENT, bounds=allowed) == host.fingerprint
        (await connect(target(host), PATIENT, allowed)).close()


def test_an_address_is_not_allowed_for_what_it_leads_to() -> None:
    """Packets to it go another way than those to the range that the administrator wrote."""
    bounds = Bounds(["10.0.0.0/8"], ["169.254.0.0/16"])
    assert bounds.takes("10.0.0.5")
    assert bounds.takes("::ffff:10.0.0.5"), "the same address, written otherwise"
    for dressed in ("2002:a00:5::1", "64:ff9b::a00:5", "64:ff9b::a9fe:a9fe"):
        assert not bounds.takes(dressed)


@pytest.mark.parametrize("chosen", [True, False])
async def test_a_public_address_is_judged_where_somebody_chose_it(chosen: bool) -> None:
    """Where it is what KOK found out of meta nodes, these may be where tenants must not lead."""
    settings = MachineSettings(business_api="public", forbidden_ranges=("127.0.0.0/8", "::1/128"))
    endpoint: dict[str, Any] = {"endpoint": {"host": "localhost"}} if chosen else {}
    reconciler = MachineReconciler(settings, SandboxPool(), MachineLists(time.monotonic))
    kube: Any = Shop("https://localhost:1", **endpoint)
    world = await reconciler.observer.observe(
        kube, builders.machine(), others=False, since=0.0, wake=lambda: None
    )
    assert world.connection is not None
    connection = reconciler.clusters.get(("team-a", "shop"))
    assert connection is not None
    with pytest.raises(Unreachable) as raised:
        await connection.kube.raw("GET", "/version")
    assert isinstance(raised.value, Barred) is chosen
    await reconciler.close()
