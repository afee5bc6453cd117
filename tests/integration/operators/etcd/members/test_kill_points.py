"""The operator is killed at every point of every operation, and nothing comes of it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.operators.etcd.backups.builders import STORE, volume
from tests.integration.operators.etcd.backups.test_keys import BACKUP_KEY, secret
from tests.integration.operators.etcd.backups.test_keys import policy as keeping_keys
from tests.integration.operators.etcd.conftest import ETCD, World, at_rest, condition, status
from tests.integration.operators.etcd.container import program
from tests.integration.operators.etcd.killing import BACKUP, FINALIZER, RESTORE, Mortal
from tests.integration.operators.etcd.kv import get, put
from tests.integration.operators.etcd.standin import StandIn
from tests.integration.operators.etcd.writer import Writer, following, writing

from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.etcd.naming import ANNOTATION_ROTATE_CA, LABEL_MEMBER, pod_endpoint
from kok.operators.etcd.settings import Tuning
from kok.pki import decode


@pytest.fixture
def lives(request: pytest.FixtureRequest) -> Iterator[int]:
    """Writes in each life, over and over: with one, every point between two writes is met."""
    return itertools.cycle(getattr(request, "param", (1,)))


MANY_LIVES = pytest.mark.parametrize("lives", [(1,), (2, 1, 3, 5)], indirect=True, ids=str)


class Scene:
    """One EtcdCluster, looked after by mortals, with a writer at work."""

    def __init__(self, kube: Kube, world: World, standin: StandIn, lives: Iterator[int]) -> None:
        self.kube, self.world, self.standin = kube, world, standin
        self.mortal = Mortal(kube, world.namespace, lives)
        self.ids: dict[str, str] = {}

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writer]:
        """A writer is at work, and in the end nothing is lost that was confirmed to it."""
        async with writing(await self.world.credentials(), self.standin.running) as writer:
            yield writer

    @property
    def points(self) -> list[str]:
        """Where the operator was killed, since the cluster was first healthy."""
        return self.mortal.points

    async def begin(self, members: int, **spec: Any) -> None:
        """A healthy cluster of that size."""
        await self.world.make(members=members, **spec)
        patch = {"metadata": {"finalizers": [FINALIZER]}}
        await self.kube.patch(ETCD, "e", self.world.namespace, patch)
        await self.mortal.work(at_rest(members))
        self.points.clear()

    async def until(self, members: int, without: AbstractSet[str] = frozenset()) -> Manifest:
        """Goes on until there are that many members and nothing is left to be done."""

        def done(etcd: Manifest) -> bool:
            there = {m["name"] for m in etcd["status"]["members"]}
            return at_rest(members)(etcd) and not there & without

        await self.mortal.work(done)
        # The last life may have ended before its last write.
        await self.mortal.rest()
        await self.mortal.work(done)
        found = await self.world.there(ETCD, "e")
        await self._agrees(found)
        await self.mortal.quiet()
        return found

    async def change(self, **spec: object) -> None:
        """Changes the spec."""
        await self.kube.patch(ETCD, "e", self.world.namespace, {"spec": spec})

    async def resize(self, members: int) -> None:
        """Asks for another number of members."""
        await self.change(members=members)

    async def ask(self, kind: Kind, name: str, **spec: object) -> None:
        """Asks for a backup or a restore, which is done when its phase is Complete."""
        made = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {
                "name": name,
                "namespace": self.world.namespace,
                "finalizers": [FINALIZER],
            },
            "spec": {"etcdCluster": "e", **spec},
        }
        await self.kube.create(made)
        await self.mortal.work(lambda m: status(m).get("phase") == "Complete", kind, name)

    async def put(self, value: str) -> None:
        """Writes the key `colour`, through any member."""
        await put(await self.world.credentials(), self._any(), "colour", value)

    async def colour(self) -> str | None:
        """What that key has."""
        return await get(await self.world.credentials(), self._any(), "colour")

    def _any(self) -> str:
        return self.standin.running()[0]

    async def _agrees(self, etcd: Manifest) -> None:
        """Status, etcd's list and the children name the same members; no ID has two names."""
        members = {m["name"]: m["id"] for m in etcd["status"]["members"]}
        first = pod_endpoint(self.standin.address(next(iter(members))))
        async with self.world.client() as client:
            listed = await client.members(first)
        assert {one.name: one.id for one in listed} == members
        assert not any(one.is_learner for one in listed)
        for kind in (kinds.STATEFULSET, kinds.PVC):
            found = [m["metadata"] for m in await self.kube.list(kind, self.world.namespace)]
            made = {meta["name"] for meta in found if LABEL_MEMBER in meta.get("labels", {})}
            assert made == set(members)
        for name, id_ in members.items():
            assert self.ids.setdefault(name, id_) == id_, "a name is used once"


def states(etcd: Manifest) -> list[str]:
    """The members' states."""
    return [m["state"] for m in etcd["status"]["members"]]


@pytest.fixture
def scene(kube: Kube, world: World, standin: StandIn, lives: Iterator[int]) -> Scene:
    """See `Scene`."""
    return Scene(kube, world, standin, lives)


async def test_a_whole_life_has_at_least_thirty_points(scene: Scene) -> None:
    """Grown, upgraded, backed up, restored and shrunk; and it may end at each point on the way."""
    for version in ("3.6.8", "3.6.10"):
        program(version)
    await volume(scene.world)
    await scene.begin(1, version="3.6.8", backup={"store": STORE})
    async with scene.writing():
        await scene.resize(3)
        formed = await scene.until(3)
        await scene.change(version="3.6.10")
        await scene.mortal.work(
            lambda m: (
                at_rest(3)(m) and {one["version"] for one in status(m)["members"]} == {"3.6.10"}
            )
        )
        await scene.put("blue")
        await scene.ask(BACKUP, "one")
    await scene.put("red")

    await scene.ask(RESTORE, "back", backup="one")
    restored = await scene.until(3)

    assert await scene.colour() == "blue"
    assert restored["status"]["clusterID"] != formed["status"]["clusterID"]
    assert status(restored)["restored"]["name"] == "back"
    async with scene.writing():
        await scene.resize(1)
        await scene.until(1)
    points = set(scene.points)
    assert len(points) >= 30, sorted(points)
    for step in ("Grow", "Roll", "Restore Stopping", "Restore Seeding", "Shrink"):
        assert any(point.startswith(step) for point in points), f"{step}: {sorted(points)}"
    assert any("etcd maintenance/transfer-leadership" in point for point in points)


async def test_keys_go_with_a_backup_and_come_back(scene: Scene, lives: Iterator[int]) -> None:
    world = scene.world
    await volume(world)
    await secret(world, "backup-keys", key=BACKUP_KEY)
    await secret(world, "shop-ca", marked=True, key="the private key")
    await scene.begin(1, backup=keeping_keys())
    await scene.ask(BACKUP, "one")
    backup = await world.there(BACKUP, "one")
    assert (
        backup["status"]["sealedKeys"] == (await world.there(ETCD, "e"))["status"]["keys"]["sha256"]
    )

    await world.make("f", restoreFrom={"backup": "one"})
    await world.kube.patch(ETCD, "f", world.namespace, {"metadata": {"finalizers": [FINALIZER]}})
    heir = Mortal(scene.kube, world.namespace, lives, "f")
    await heir.work(lambda m: condition(m, "KeysRestored").get("status") == "True", ETCD, "f")

    found = await world.there(kinds.SECRET, "f-keys")
    assert decode(found, "ca.key") == b"the private key"


async def test_recovering_a_lost_quorum(scene: Scene) -> None:
    # Of what it has seen it knows nothing in the next life.
    scene.mortal.tuning = Tuning(recover_after=timedelta())
    await scene.begin(3)
    await scene.put("blue")
    formed = await scene.world.there(ETCD, "e")
    scene.standin.pause("e-0")
    scene.standin.pause("e-2")
    await scene.change(
        recovery={"policy": "FromSurvivor", "allowDataLoss": formed["status"]["clusterID"]}
    )

    found = await scene.until(3, without={"e-0", "e-2"})

    assert found["status"]["clusterID"] == formed["status"]["clusterID"]
    assert found["status"]["consentUsedAt"]
    assert await scene.colour() == "blue"
    assert sum(point.startswith("Recover") for point in set(scene.points)) >= 4


async def test_a_restore_that_comes_and_goes_in_the_middle_of_a_recovery(
    scene: Scene, lives: Iterator[int]
) -> None:
    """The survivor has a cluster of its own, and the others would be a quorum beside it."""
    scene.mortal.tuning = Tuning(recover_after=timedelta())
    world, namespace = scene.world, scene.world.namespace
    await volume(world)
    await scene.begin(3, backup={"store": STORE})
    await scene.ask(BACKUP, "one")
    await scene.put("blue")
    formed = await world.there(ETCD, "e")
    scene.standin.pause("e-0")
    scene.standin.pause("e-2")
    cluster_id = formed["status"]["clusterID"]
    await scene.change(recovery={"policy": "FromSurvivor", "allowDataLoss": cluster_id})
    await scene.mortal.work(lambda m: (status(m).get("operation") or {}).get("step") == "Settle")
    # Proven by one that does not look after this EtcdCluster.
    aside = Mortal(scene.kube, namespace, lives, "another")
    await world.kube.create(
        {
            "apiVersion": RESTORE.api_version,
            "kind": RESTORE.kind,
            "metadata": {"name": "back", "namespace": namespace},
            "spec": {"etcdCluster": "e", "backup": "one"},
        }
    )
    await aside.work(lambda m: status(m).get("phase") == "Verified", RESTORE, "back")

    await scene.mortal.work(lambda m: (status(m).get("restore") or {}).get("step") == "Seeding")
    await world.kube.delete(RESTORE, "back", namespace)
    found = await scene.until(3, without={"e-0", "e-2"})

    assert status(found)["restoreFailed"]["message"].endswith("e-1 goes on alone")
    assert found["status"]["clusterID"] == cluster_id
    assert await scene.colour() == "blue"


async def test_replacing(scene: Scene) -> None:
    await scene.begin(3)
    async with scene.writing():
        await scene.kube.delete(kinds.PVC, "e-1", scene.world.namespace)
        await scene.kube.delete(kinds.POD, "e-1-0", scene.world.namespace)
        found = await scene.until(3, without={"e-1"})
    assert [m["name"] for m in found["status"]["members"]] == ["e-0", "e-2", "e-3"]
    assert len(set(scene.points)) >= 8


async def test_migrating(scene: Scene) -> None:
    await scene.begin(1, storage={"size": "1Gi", "className": "slow"})
    async with scene.writing():
        await scene.change(storage={"className": "fast"})
        found = await scene.until(1, without={"e-0"})
    assert [m["name"] for m in found["status"]["members"]] == ["e-1"]
    assert len(set(scene.points)) >= 12


async def test_rotating_the_ca(scene: Scene) -> None:
    await scene.begin(1)
    async with scene.writing() as writer, following(scene.world, writer):
        await scene.world.annotate(ANNOTATION_ROTATE_CA, "once")
        phases: list[str] = []

        def done(etcd: Manifest) -> bool:
            phase = (etcd["status"].get("caRotation") or {}).get("phase")
            phases.extend([phase] if phase and phase not in phases else [])
            return phase == "Done" and at_rest(1)(etcd)

        await scene.mortal.work(done)
        await scene.until(1)
    assert phases == ["Trust", "Reissue", "Drop", "Done"]
    assert await scene.world.get(kinds.SECRET, "e-ca-next") is None
    assert len(set(scene.points)) >= 8


@MANY_LIVES
async def test_a_spec_that_flips_half_way(scene: Scene) -> None:
    await scene.begin(1)
    async with scene.writing():
        await scene.resize(3)
        await scene.mortal.work(lambda m: len(m["status"]["members"]) > 1)
        await scene.resize(5)
        await scene.mortal.work(lambda m: m["status"]["nextMember"] > 3)
        await scene.resize(3)
        await scene.mortal.work(lambda m: "Joining" not in states(m))
        await scene.resize(1)
        await scene.until(1)
