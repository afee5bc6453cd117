"""The CA is rotated under a client that keeps writing, with all phases, and with what holds it."""

from __future__ import annotations

import pytest
from e2e.polling import eventually
from tests.integration.operators.etcd.conftest import ETCD, LIMIT, Tune, World, condition, status
from tests.integration.operators.etcd.standin import StandIn
from tests.integration.operators.etcd.writer import calm, following, writing

from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_CA_TRUSTED
from kok.etcdclient.client import EtcdClient
from kok.etcdclient.model import EtcdError
from kok.kube import kinds
from kok.operators.etcd.naming import ANNOTATION_ROTATE_CA, pod_endpoint
from kok.pki import ca_of, fingerprint
from kok.runtime.process.main import Process

GAP = 3.0
"""Seconds that a writer may wait at most while members are restarted."""


@pytest.fixture(autouse=True)
def _quick(tune: Tune) -> None:
    tune(look_healthy=2.0, look_troubled=1.0)


def rotation(etcd: Manifest | None) -> dict[str, str]:
    """What the status says of it."""
    return status(etcd).get("caRotation") or {}


def done(request: str):
    """Whether that rotation is over and everything is at rest."""

    def holds(etcd: Manifest | None) -> bool:
        return (
            (rotation(etcd).get("phase"), rotation(etcd).get("request")) == ("Done", request)
            and rotation(etcd)["clients"].startswith("Drop-")
            and condition(etcd, "UpToDate").get("status") == "True"
            and condition(etcd).get("status") == "True"
        )

    return holds


def says(*words: str):
    """Whether UpToDate has all these words."""

    def holds(etcd: Manifest | None) -> bool:
        return all(word in condition(etcd, "UpToDate").get("message", "") for word in words)

    return holds


async def own_by_cluster(world: World) -> None:
    """As if a Cluster had made the EtcdCluster."""
    owner = {"apiVersion": "kok.dev/v1alpha1", "kind": "Cluster", "name": "shop", "uid": "uid-1"}
    patch = {"metadata": {"ownerReferences": [{**owner, "controller": True}]}}
    await world.kube.patch(ETCD, "e", world.namespace, patch)


async def ca_fingerprint(world: World, name: str = "e-ca") -> str:
    ca = ca_of(await world.there(kinds.SECRET, name))
    assert ca is not None
    return fingerprint(ca.cert_pem)


async def test_api_servers_take_part_in_each_phase_and_no_write_is_lost(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    await own_by_cluster(world)
    formed = await world.until_ready()
    first = await ca_fingerprint(world)
    addresses = [pod_endpoint(standin.address(m["name"])) for m in formed["status"]["members"]]
    seen: list[str] = []

    credentials = await world.credentials()
    async with calm(credentials) as calm_one, writing(credentials, lambda: addresses) as writer:
        await world.annotate(ANNOTATION_ROTATE_CA, "once")
        for phase in ("Trust", "Reissue", "Drop"):
            # All members have arrived: only the API servers are waited for.
            told = await world.until(says("API servers of Cluster", f"phase {phase}"))
            seen.append(rotation(told)["phase"])
            assert condition(told)["status"] == "True"
            assert sum(m["ready"] for m in told["status"]["members"]) == 3
            # They read whom to trust only when they start, which is now.
            await writer.restart(await world.credentials())
            confirmed = len(writer.confirmed)
            await eventually(lambda: len(writer.confirmed) >= confirmed + 5, LIMIT)  # noqa: B023 - waited for here
            await world.annotate(ANNOTATION_CA_TRUSTED, rotation(told)["clients"])
        over = await world.until(done("once"))

    assert seen == ["Trust", "Reissue", "Drop"]
    assert writer.longest < GAP + 2 * calm_one.longest
    assert over["status"]["clusterID"] == formed["status"]["clusterID"]
    assert over["status"]["caFingerprint"] == await ca_fingerprint(world) != first
    await world.until_gone("e-ca-next", kinds.SECRET)
    ca = ca_of(await world.there(kinds.SECRET, "e-ca"))
    assert ca is not None
    assert (await world.credentials()).ca == ca.cert_pem


async def test_who_holds_the_earlier_ca_is_turned_away_in_the_end(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make()
    await world.until_ready()
    earlier = await world.credentials()

    await world.annotate(ANNOTATION_ROTATE_CA, "once")
    # Asked for while the first is under way: it waits, says so, and is done after it.
    await world.until(lambda m: rotation(m).get("phase") in {"Trust", "Reissue"})
    await world.annotate(ANNOTATION_ROTATE_CA, "twice")

    await world.until(says(f"{ANNOTATION_ROTATE_CA}=twice is taken up after it"))
    await world.until(lambda m: rotation(m).get("request") == "twice")
    await world.until(done("twice"))
    with pytest.raises(EtcdError):
        async with EtcdClient(earlier, deadline=LIMIT) as client:
            await client.status(pod_endpoint(standin.address("e-0")))
    async with world.client() as client:
        await client.status(pod_endpoint(standin.address("e-0")))


async def test_a_sick_member_holds_a_rotation(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    etcd = await world.until_ready()
    sick = next(m["name"] for m in etcd["status"]["members"] if m["role"] == "Follower")
    before = await ca_fingerprint(world)
    standin.pause(sick)
    await world.until(lambda m: status(m).get("readyMembers") == 2)

    await world.annotate(ANNOTATION_ROTATE_CA, "once")

    told = await world.until(says(f"{sick} is not healthy"))
    assert condition(told, "UpToDate")["reason"] == "CARotating"
    assert condition(told, "Available")["status"] == "True"
    assert rotation(told) == {}
    assert await ca_fingerprint(world) == before
    addresses = [pod_endpoint(standin.address(m["name"])) for m in etcd["status"]["members"]]
    async with writing(await world.credentials(), lambda: addresses) as writer:
        standin.resume(sick)
        async with following(world, writer):
            await world.until(lambda m: rotation(m).get("phase") == "Reissue")
            # Nobody starts with an earlier CA, whatever dies meanwhile.
            await world.kube.delete(kinds.POD, f"{sick}-0", world.namespace)
            await world.until(done("once"))
    assert await ca_fingerprint(world) != before
