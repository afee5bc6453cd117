"""The CA gives way to another one: which phase comes when, and whom everybody trusts meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.etcd.builders import (
    CA,
    CA_FINGERPRINT,
    NOW,
    a_pod,
    a_world,
    formed,
    says,
)

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdOperation
from kok.api.etcd.status import EtcdCARotation
from kok.api.meta import OwnerReference
from kok.api.names import ANNOTATION_CA_TRUSTED, etcd_ca_secret
from kok.kube.apply.serverside import index
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster import render
from kok.operators.etcd.etcdcluster.certificates import certificates, rotation, trust
from kok.operators.etcd.etcdcluster.conditions.verdicts import up_to_date
from kok.operators.etcd.etcdcluster.members import roles, templates
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.operations import rotate
from kok.operators.etcd.etcdcluster.operations.rotate import Advance
from kok.operators.etcd.naming import ANNOTATION_ROTATE_CA, next_ca_secret
from kok.pki import CertificateAuthority, fingerprint, new_ca
from kok.pki.rotation import Announce, Enter, Phase, Step, replaced_at_once

NEXT = new_ca("shop-etcd-ca-2", NOW)
NEXT_FINGERPRINT = fingerprint(NEXT.cert_pem)
OWN, FOLLOWING = etcd_ca_secret("shop-etcd"), next_ca_secret("shop-etcd")
ALL = ("shop-etcd-0", "shop-etcd-1", "shop-etcd-2")
EARLIER: dict[Phase, Phase] = {"Reissue": "Trust", "Drop": "Reissue", "Done": "Reissue"}
"""What the Secrets are known to be at when a phase begins."""


def rotating(phase: str | None, clients: Phase | None = None, **more: Any) -> EtcdCluster:
    """An EtcdCluster in a phase; `clients` names the phase that its Secrets are known to be at."""
    obj = formed(annotations={ANNOTATION_ROTATE_CA: "once", **more})
    if phase is not None:
        obj.status.ca_rotation = EtcdCARotation.model_validate(
            {
                "request": "once",
                "phase": phase,
                "since": NOW,
                "previous": CA_FINGERPRINT,
                "next": NEXT_FINGERPRINT,
            }
        )
        if clients is not None:
            obj.status.ca_rotation.clients = trust.recorded(obj.status).token(clients)
    if phase in {"Drop", "Done"}:
        obj.status.ca_fingerprint = NEXT_FINGERPRINT
    return obj


def with_secrets(
    obj: EtcdCluster, world: Observed, own: CertificateAuthority = CA, following: bool = True
) -> Observed:
    """The world with the CAs, and with certificates as the phase wants them."""
    cas = [render.ca_secret(obj, own)]
    cas += [render.ca_secret(obj, NEXT, FOLLOWING)] if following else []
    kept = {key: m for key, m in world.children.items() if key != ("Secret", FOLLOWING)}
    found = Observed({**kept, **index(cas)}, world.answers, world.storage)
    ca = rotation.authority(obj, found, NOW).ca
    assert ca is not None
    leaves = certificates.leaves(obj, ca, found.secrets, NOW).wanted
    made = [render.leaf_secret(obj, name, leaf, ca.trust_pem) for name, leaf in leaves.items()]
    return Observed({**found.children, **index(made)}, found.answers, found.storage)


def rolled(obj: EtcdCluster, world: Observed) -> Observed:
    """The world once all members were restarted with what they are to have."""
    changed = []
    for number, name in enumerate(ALL):
        want = templates.wanted(obj, world, name)
        pod = a_pod(obj, number)
        pod["metadata"]["annotations"] = want["spec"]["template"]["metadata"]["annotations"]
        changed += [want, pod]
    return Observed({**world.children, **index(changed)}, world.answers, world.storage)


def next_step(obj: EtcdCluster, world: Observed) -> Step | None:
    found = rotate.plan(Assessment.of(obj, world, NOW))
    if found is None:
        return None
    assert isinstance(found.call, Advance)
    return found.call.step


def told(obj: EtcdCluster, world: Observed) -> str:
    verdict = up_to_date(Assessment.of(obj, world, NOW))
    assert verdict.holds is False
    return f"{verdict.reason}: {verdict.message}"


def test_without_a_request_nothing_happens() -> None:
    obj = formed()
    world = a_world(obj)
    assert next_step(obj, world) is None
    assert up_to_date(Assessment.of(obj, world, NOW)).holds
    assert trust.text(obj.status) == CA_FINGERPRINT


def test_a_request_begins_a_rotation() -> None:
    obj = rotating(None)
    assert next_step(obj, a_world(obj)) == Enter("Trust")


@pytest.mark.parametrize(
    ("phase", "own", "after"),
    [("Trust", CA, "Reissue"), ("Reissue", CA, "Drop"), ("Drop", NEXT, "Done")],
)
def test_a_phase_goes_from_secrets_to_members_to_the_next_one(
    phase: Phase, own: CertificateAuthority, after: Phase
) -> None:
    obj = rotating(phase, EARLIER.get(phase))
    before = rolled(obj, a_world(obj))
    assert next_step(obj, before) is None, "Secrets are not there yet"
    world = with_secrets(obj, before, own)
    assert templates.outdated(obj, world, ALL[0]) is False

    step = next_step(obj, world)

    assert isinstance(step, Announce)
    assert obj.status.ca_rotation is not None
    obj.status.ca_rotation.clients = step.token
    assert next_step(obj, world) is None, "members have yet to be restarted"
    assert f"phase {phase}" in told(obj, world)
    assert next_step(obj, rolled(obj, world)) == Enter(after)


def test_the_end_is_rest() -> None:
    obj = rotating("Done", "Done")
    world = rolled(obj, with_secrets(obj, a_world(obj), NEXT, following=False))
    assert next_step(obj, world) is None
    assert up_to_date(Assessment.of(obj, world, NOW)).holds
    assert trust.text(obj.status) == NEXT_FINGERPRINT


def test_the_next_ca_goes_only_after_the_end() -> None:
    obj = rotating("Drop", "Drop")
    world = with_secrets(obj, a_world(obj), NEXT)
    assert rotation.leftover(obj, world) is None
    assert rotation.leftover(rotating("Done", "Done"), world) is not None


def test_a_sick_member_keeps_it_from_beginning_and_is_named() -> None:
    obj = rotating(None)
    world = a_world(obj, p1=a_pod(obj, 1, ready=False))
    assert next_step(obj, world) is None
    assert "CARotating: a rotation of the CA (kok.dev/rotate-ca=once): waits" in told(obj, world)
    assert "shop-etcd-1 is not healthy" in told(obj, world)


def test_an_operation_under_way_comes_first() -> None:
    obj = rotating(None)
    obj.status.operation = EtcdOperation(type="Grow", since=NOW)
    assert next_step(obj, a_world(obj)) is None
    assert "waits for the operation Grow to end" in told(obj, a_world(obj))


def test_a_second_request_waits_and_is_told_of() -> None:
    obj = rotating("Trust", "Trust", **{ANNOTATION_ROTATE_CA: "twice"})
    world = with_secrets(obj, a_world(obj))
    assert "kok.dev/rotate-ca=twice is taken up after it" in told(obj, world)
    assert "kok.dev/rotate-ca=twice is taken up after it" in told(obj, rolled(obj, world))
    done = rotating("Done", "Done", **{ANNOTATION_ROTATE_CA: "twice"})
    at_rest = rolled(done, with_secrets(done, a_world(done), NEXT, following=False))
    assert next_step(done, at_rest) == Enter("Trust")


def test_api_servers_of_a_cluster_are_waited_for() -> None:
    obj = rotating("Trust", "Trust")
    owner = {"api_version": "kok.dev/v1alpha1", "kind": "Cluster", "name": "shop", "uid": "u"}
    obj.metadata.owner_references = [OwnerReference(**owner, controller=True)]
    world = rolled(obj, with_secrets(obj, a_world(obj)))
    assert next_step(obj, world) is None
    assert "waits for the API servers of Cluster team-a/shop" in told(obj, world)

    obj.metadata.annotations[ANNOTATION_CA_TRUSTED] = "Trust-ofanother"
    assert next_step(obj, world) is None
    assert obj.status.ca_rotation is not None
    obj.metadata.annotations[ANNOTATION_CA_TRUSTED] = obj.status.ca_rotation.clients
    assert next_step(obj, world) == Enter("Reissue")


def test_a_quorum_is_needed_for_the_next_phase() -> None:
    obj = rotating("Trust", "Trust")
    world = rolled(
        obj, with_secrets(obj, a_world(obj, {n: says(n, quorum=False) for n in range(3)}))
    )
    assert next_step(obj, world) is None


@pytest.mark.parametrize("phase", ["Trust", "Reissue", "Drop", "Done"])
def test_nobody_is_restarted_at_once_in_a_rotation(phase: Phase) -> None:
    before = rotating(phase, EARLIER.get(phase))
    world = rolled(before, a_world(before))
    obj = rotating(phase, phase)
    wanted = index([templates.wanted(obj, world, name) for name in ALL])
    assert roles.pods_with_another_ca(obj, Observed({**world.children, **wanted})) == []
    # Before its turn a member keeps what it has.
    assert templates.intended(obj, world, ALL[0]) is None


def test_another_ca_that_was_trusted_in_a_rotation_restarts_all() -> None:
    obj = rotating("Trust", "Trust")
    world = rolled(obj, a_world(obj))
    obj.status.ca_fingerprint = "sha256:other"
    assert obj.status.ca_rotation is not None
    obj.status.ca_rotation = EtcdCARotation(
        request="once", phase="Done", since=NOW, next="sha256:other", clients="Drop-other"
    )
    wanted = index([templates.wanted(obj, world, name) for name in ALL])
    assert len(roles.pods_with_another_ca(obj, Observed({**world.children, **wanted}))) == 3


class _Pass:
    """As much of a pass as the calls need."""

    now = NOW

    def __init__(self) -> None:
        self.written = 0

    def event(self, *_: object) -> None:
        """Told."""

    async def latch(self) -> None:
        """Counts."""
        self.written += 1


def run(obj: EtcdCluster, step: Step) -> EtcdCARotation:
    p = _Pass()
    asyncio.run(Advance(step).run(type("C", (), {"obj": obj, "p": p})()))  # type: ignore[arg-type]
    assert p.written == 1
    assert obj.status.ca_rotation is not None
    return obj.status.ca_rotation


def test_what_each_phase_records() -> None:
    obj = rotating(None)
    known = run(obj, Enter("Trust"))
    assert (known.phase, known.request, known.previous) == ("Trust", "once", CA_FINGERPRINT)
    assert known.next is None
    known.next = NEXT_FINGERPRINT
    run(obj, Announce("Trust-1"))
    known = run(obj, Enter("Reissue"))
    assert (known.phase, known.clients, known.request) == ("Reissue", "Trust-1", "once")
    assert obj.status.ca_fingerprint == CA_FINGERPRINT
    run(obj, Enter("Drop"))
    assert obj.status.ca_fingerprint == NEXT_FINGERPRINT
    known = run(obj, Enter("Done"))
    assert (known.previous, known.next) == (CA_FINGERPRINT, NEXT_FINGERPRINT)
    assert trust.under_way(obj.status) is None
    assert rotate.requested(obj) == ""
    assert reasons.CA_ROTATING == "CARotating"


def test_a_time_tells_when_the_phase_began_and_no_other_step_changes_it() -> None:
    obj = rotating("Trust")
    assert obj.status.ca_rotation is not None
    begun = obj.status.ca_rotation.since = NOW - timedelta(minutes=5)
    assert run(obj, Announce("Trust-1")).since == begun
    assert run(obj, Enter("Reissue")).since == NOW


def test_a_ca_that_was_trusted_at_once_ends_what_was_under_way() -> None:
    obj = rotating("Reissue", "Trust")
    earlier = trust.recorded(obj.status)

    trust.record(obj.status, replaced_at_once(earlier, "sha256:other"), NOW, request="once")

    known = obj.status.ca_rotation
    assert known is not None
    assert (known.phase, known.previous, known.next) == ("Done", None, "sha256:other")
    assert (known.request, known.clients) == ("once", earlier.announced)
    assert obj.status.ca_fingerprint == "sha256:other"
