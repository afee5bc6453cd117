"""What may be made and what must not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.etcd.builders import (
    CA,
    CLUSTER_ID,
    a_world,
    an_etcd,
    doing,
    formed,
    without,
)

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMember
from kok.api.meta import Manifest
from kok.kube.apply.serverside import index
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdcluster import act, render
from kok.operators.etcd.etcdcluster.conditions import obstacles
from kok.operators.etcd.etcdcluster.conditions.obstacles import Adoption, Obstacle
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.observed import children
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.render import Start, VolumeNotes

SEED = ("shop-etcd-0", "shop-etcd-1", "shop-etcd-2")


def begun() -> EtcdCluster:
    """The seed is recorded, no member has been seen yet."""
    return an_etcd(
        members=3,
        status={"seed": ",".join(SEED), "members": [{"name": name} for name in SEED]},
    )


# --- how members start


def test_members_form_the_cluster_that_was_recorded() -> None:
    assert roles.start_of(begun(), a_world(begun()), SEED[1]) == Start(SEED)


def test_a_member_that_was_seen_never_starts_empty_again() -> None:
    obj = formed()

    assert roles.start_of(obj, a_world(obj), SEED[1]) == Start()


def test_the_note_on_the_volume_suffices_where_the_status_was_lost() -> None:
    obj = begun()
    noted = render.volume(obj, SEED[1], VolumeNotes(CLUSTER_ID, "id-1"), None)
    world = Observed(index([noted]))

    assert roles.start_of(obj, world, SEED[1]) == Start()
    assert roles.start_of(obj, world, SEED[0]) == Start(SEED)


def test_a_member_outside_the_seed_never_forms_a_cluster() -> None:
    obj = begun()

    assert roles.start_of(obj, a_world(obj), "shop-etcd-3") == Start()


def test_nothing_starts_as_new_before_the_seed_is_recorded() -> None:
    obj = an_etcd(members=3)

    assert roles.start_of(obj, Observed(), SEED[0]) == Start()


# --- volumes


def test_a_volume_is_made_only_where_there_was_none() -> None:
    obj = begun()
    nothing = Observed()
    whole = a_world(obj)
    no_volume = without(whole, ("PersistentVolumeClaim", SEED[0]))

    assert not roles.volume_is_gone(obj, nothing, SEED[0])
    assert not roles.volume_is_gone(obj, whole, SEED[0])
    assert roles.volume_is_gone(obj, no_volume, SEED[0]), "its StatefulSet shows that it was there"
    assert roles.volume_is_gone(formed(), nothing, SEED[0]), "the member is known to have started"


def test_a_member_whose_volume_is_gone_never_starts_as_new() -> None:
    obj = begun()
    world = without(a_world(obj), ("PersistentVolumeClaim", SEED[0]))

    assert roles.start_of(obj, world, SEED[0]) == Start()


# --- what earlier clusters left


def left(
    *, cluster_id: str | None = "abc", count: int = 3, version: str = "3.6.10", **meta: object
) -> Observed:
    """Volumes that an earlier EtcdCluster of the name retained."""
    old = an_etcd(members=3, deletionPolicy="Retain", version=version)
    old.metadata.uid = "an-earlier-uid"
    claims: list[Manifest] = []
    for number in range(count):
        facts = VolumeNotes(cluster_id, f"id-{number}" if cluster_id else None)
        claim = render.volume(old, f"shop-etcd-{number}", facts, None)
        claim["metadata"].update(meta)
        claims.append(claim)
    return Observed(index(claims))


def blocked(obj: EtcdCluster, world: Observed) -> Obstacle:
    found = obstacles.obstacle(obj, world)
    assert isinstance(found, Obstacle)
    return found


def test_retained_volumes_block_with_both_ways_out() -> None:
    problem = blocked(an_etcd(members=3), left())

    assert problem.reason == reasons.RETAINED_VOLUMES
    assert "kok.dev/adopt-volumes=abc" in problem.message
    assert "delete these volumes or choose another name" in problem.message
    assert "shop-etcd-0, shop-etcd-1, shop-etcd-2" in problem.message


def test_consent_must_name_the_cluster_that_is_there() -> None:
    obj = an_etcd(members=3, annotations={naming.ANNOTATION_ADOPT: "other"})

    assert "other is not their cluster ID" in blocked(obj, left()).message


def left_alone(step: str) -> Observed:
    """What is left of an EtcdCluster that was deleted while member 1 was to go on alone."""
    old = doing(formed(), "Recover", member="shop-etcd-1", step=step)
    claims = act._volumes(old, a_world(old))
    for claim in claims:
        claim["metadata"]["labels"][naming.LABEL_OWNER_UID] = "an-earlier-uid"
    return Observed(index([children._volume(claim) for claim in claims]))


@pytest.mark.parametrize("step", ["Force", "Settle"])
def test_beside_one_that_went_on_alone_no_other_is_adopted(step: str) -> None:
    """They would be two clusters of one ID."""
    adopts = {naming.ANNOTATION_ADOPT: CLUSTER_ID}
    world = left_alone(step)

    found = obstacles.obstacle(an_etcd(members=1, annotations=adopts), world)
    three = blocked(an_etcd(members=3, annotations=adopts), world).message

    assert found == Adoption(CLUSTER_ID, {"shop-etcd-1": "id-1"})
    assert "needs exactly 3" in three
    assert "shop-etcd-0, shop-etcd-2 do not count: without them one member went on alone" in three


def test_before_it_went_on_alone_all_are_adopted() -> None:
    obj = an_etcd(members=3, annotations={naming.ANNOTATION_ADOPT: CLUSTER_ID})

    found = obstacles.obstacle(obj, left_alone("Fence"))

    assert isinstance(found, Adoption)
    assert len(found.member_ids) == 3


def test_a_status_that_was_lost_brings_no_fenced_member_back() -> None:
    old = doing(formed(), "Recover", member="shop-etcd-1", step="Force")
    world = Observed(index(act._volumes(old, a_world(old))))

    found = obstacles.obstacle(an_etcd(members=3), world)

    assert found == Adoption(CLUSTER_ID, {"shop-etcd-1": "id-1"})


def test_consent_adopts_with_all_ids() -> None:
    obj = an_etcd(members=3, annotations={naming.ANNOTATION_ADOPT: "abc"})

    assert obstacles.obstacle(obj, left()) == Adoption(
        "abc", {"shop-etcd-0": "id-0", "shop-etcd-1": "id-1", "shop-etcd-2": "id-2"}
    )


@pytest.mark.parametrize(
    ("members", "count", "version", "sentence"),
    [
        (5, 3, "3.6.10", "spec.members: 5 needs exactly"),
        (1, 3, "3.6.10", "spec.members: 1 needs exactly"),
        (3, 3, "3.7.1", "3.7.1 -> 3.6.10 goes down"),
        (3, 3, "3.5.21", "upgrade every member to at least 3.5.26 first"),
    ],
)
def test_adoption_is_refused_where_it_would_harm(
    members: int, count: int, version: str, sentence: str
) -> None:
    obj = an_etcd(members=members, annotations={naming.ANNOTATION_ADOPT: "abc"})

    assert sentence in blocked(obj, left(count=count, version=version)).message


def test_members_of_any_number_are_adopted() -> None:
    obj = an_etcd(members=1, annotations={naming.ANNOTATION_ADOPT: "abc"})
    world = left(count=8)
    world = Observed({key: m for key, m in world.children.items() if key[1] == "shop-etcd-7"})

    assert obstacles.obstacle(obj, world) == Adoption("abc", {"shop-etcd-7": "id-7"})


def test_volumes_of_a_cluster_that_never_formed_can_only_be_deleted() -> None:
    problem = blocked(an_etcd(members=3), left(cluster_id=None))

    assert problem.reason == reasons.RETAINED_VOLUMES
    assert "delete them, or choose another name" in problem.message


@pytest.mark.parametrize(
    "meta",
    [
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"ownerReferences": [{"kind": "EtcdCluster", "uid": "an-earlier-uid", "controller": True}]},
    ],
)
def test_volumes_on_their_way_out_are_waited_for(meta: dict[str, object]) -> None:
    assert blocked(an_etcd(members=3), left(**meta)).reason == reasons.VOLUMES_TERMINATING


def test_our_own_volumes_are_no_leftovers() -> None:
    obj = begun()

    assert obstacles.obstacle(obj, a_world(obj)) is None


def test_a_status_that_was_lost_is_read_off_the_volumes() -> None:
    obj = an_etcd(members=3)
    claims = [
        render.volume(obj, f"shop-etcd-{n}", VolumeNotes(CLUSTER_ID, f"id-{n}"), None)
        for n in (0, 4, 7)
    ]
    joining = render.volume(obj, "shop-etcd-8", VolumeNotes(), None)
    going = render.volume(obj, "shop-etcd-3", VolumeNotes(CLUSTER_ID, "id-3"), None)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    found = obstacles.obstacle(obj, Observed(index([*claims, joining, going])))

    ids = {f"shop-etcd-{n}": f"id-{n}" for n in (0, 4, 7)}
    assert found == Adoption(CLUSTER_ID, ids)


def test_volumes_of_two_clusters_are_no_cluster() -> None:
    obj = an_etcd(members=3)
    claims = [
        render.volume(obj, f"shop-etcd-{n}", VolumeNotes(f"cluster-{n}", f"id-{n}"), None)
        for n in (0, 1)
    ]

    assert "hold data of several etcd clusters" in blocked(obj, Observed(index(claims))).message


# --- names


def test_an_object_of_somebody_else_is_told_and_left_alone() -> None:
    obj = an_etcd(members=1)
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop-etcd-client"}}
    world = Observed(index([service]))

    problem = blocked(obj, world)

    assert problem.reason == reasons.NAME_TAKEN
    assert "Service shop-etcd-client in namespace team-a" in problem.message
    assert obstacles.taken(obj, world) == [("Service", "shop-etcd-client")]


def test_an_object_of_another_controller_is_not_ours_whatever_its_labels() -> None:
    obj = formed()
    ca = render.ca_secret(obj, CA)
    ca["metadata"]["ownerReferences"][0]["uid"] = "somebody"

    assert obstacles.taken(obj, Observed(index([ca]))) == [("Secret", "shop-etcd-ca")]


def test_a_ca_that_was_put_back_by_hand_is_ours_only_if_one_was_recorded() -> None:
    bare = {"kind": "Secret", "metadata": {"name": "shop-etcd-ca"}, "data": {}}

    assert roles.is_ours(bare, formed())
    assert not roles.is_ours(bare, an_etcd())


def test_an_unknown_version_is_told_before_anything_is_made() -> None:
    problem = blocked(an_etcd(version="3.5.3"), Observed())

    assert problem.reason == reasons.UNSUPPORTED_VERSION
    assert problem.message.startswith("spec.version: ")


# --- how many pods a drain may take


@pytest.mark.parametrize(
    ("states", "pods"),
    [
        (["Member"], 1),
        (["Member", "Joining"], 0),
        (["Member", "Member"], 0),
        (["Member", "Member", "Joining"], 0),
        (["Member", "Leaving"], 0),
        (["Member", "Left"], 1),
        (["Member"] * 3, 1),
        (["Member", "Member", "Leaving"], 0),
        (["Member", "Member", "Member", "Joining"], 1),
        (["Member", "Member", "Member", "Leaving"], 1),
        (["Member"] * 5, 1),
    ],
)
def test_a_drain_never_takes_a_pod_that_the_quorum_needs(states: list[Any], pods: int) -> None:
    obj = formed(1)
    obj.status.members = [EtcdMember(name=f"m-{n}", state=s) for n, s in enumerate(states)]

    assert roles.disruptions(obj) == pods


# --- pods


def test_pods_that_trust_another_ca_are_found() -> None:
    obj = formed()
    world = a_world(obj)
    assert roles.pods_with_another_ca(obj, world) == []
    wanted = index([render.statefulset(obj, SEED[0], "sha256:other")])
    obj.status.ca_fingerprint = "sha256:other"

    stale = roles.pods_with_another_ca(obj, Observed({**world.children, **wanted}))

    assert [pod["metadata"]["name"] for pod in stale] == ["shop-etcd-0-0"]
