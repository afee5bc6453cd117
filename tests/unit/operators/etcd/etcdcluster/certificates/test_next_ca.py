"""Two CAs at a time: who signs, whom everybody trusts, and which one may be recorded."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.etcd.builders import (
    CA,
    CA_FINGERPRINT,
    NOW,
    a_world,
)
from tests.unit.operators.etcd.etcdcluster.certificates.test_rotation import (
    FOLLOWING,
    NEXT,
    NEXT_FINGERPRINT,
    OWN,
    rotating,
    with_secrets,
)

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.names import ANNOTATION_TRUST_CA
from kok.kube.apply.serverside import index
from kok.operators.etcd.etcdcluster import render
from kok.operators.etcd.etcdcluster.certificates import certificates, rotation
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.naming import leaf_secrets
from kok.pki import CAReason, fingerprint, new_ca


def signer_and_trusted(obj: EtcdCluster, world: Observed) -> tuple[str, set[str]]:
    ca = rotation.authority(obj, world, NOW).ca
    assert ca is not None
    parts = [f"{part}-----END CERTIFICATE-----\n" for part in _split(ca.trust_pem)]
    return fingerprint(ca.cert_pem), {fingerprint(part.encode()) for part in parts}


def _split(pem: bytes) -> list[str]:
    return [part for part in pem.decode().split("-----END CERTIFICATE-----\n") if part.strip()]


@pytest.mark.parametrize(
    ("phase", "signer", "trusted"),
    [
        ("Trust", CA_FINGERPRINT, {CA_FINGERPRINT, NEXT_FINGERPRINT}),
        ("Reissue", NEXT_FINGERPRINT, {CA_FINGERPRINT, NEXT_FINGERPRINT}),
        # The next CA has yet to take the place of the earlier one in its Secret.
        ("Drop", NEXT_FINGERPRINT, {NEXT_FINGERPRINT}),
    ],
    # Fingerprints are others in each process, and processes that share the tests compare names.
    ids=["trust", "reissue", "drop"],
)
def test_each_phase_has_its_signer_and_its_bundle(
    phase: str, signer: str, trusted: set[str]
) -> None:
    obj = rotating(phase)
    world = with_secrets(obj, a_world(obj))
    assert signer_and_trusted(obj, world) == (signer, trusted)
    for name in leaf_secrets("shop-etcd"):
        assert certificates.trust_of(world.secrets[name]) is not None
    own = rotation.authority(obj, world, NOW).kept[OWN]
    assert fingerprint(own.cert_pem) == (signer if phase == "Drop" else CA_FINGERPRINT)


def test_a_next_ca_is_made_only_once() -> None:
    obj = rotating("Trust")
    assert obj.status.ca_rotation is not None
    obj.status.ca_rotation.next = None
    assert rotation.authority(obj, a_world(obj), NOW).made == FOLLOWING
    found = rotation.authority(obj, with_secrets(obj, a_world(obj)), NOW)
    assert found.made is None
    assert rotation.following_fingerprint(obj, found) == NEXT_FINGERPRINT


def test_a_next_ca_that_is_gone_is_made_anew_only_while_it_has_signed_nothing() -> None:
    obj = rotating("Trust", "Trust")
    assert rotation.authority(obj, a_world(obj), NOW).made == FOLLOWING
    later = rotation.authority(rotating("Reissue", "Trust"), a_world(obj), NOW)
    assert later.problem is not None
    assert later.problem.reason is CAReason.MISSING
    assert f"Secret team-a/{FOLLOWING}" in later.problem.message


def test_another_next_ca_than_the_recorded_one_is_refused() -> None:
    obj = rotating("Trust", "Trust")
    other = render.ca_secret(obj, new_ca("evil", NOW), FOLLOWING)
    world = Observed({**a_world(obj).children, **index([other])})
    problem = rotation.authority(obj, world, NOW).problem
    assert problem is not None
    assert problem.reason is CAReason.CHANGED
    assert "delete it to have another one made" in problem.message


def test_somebody_elses_secret_is_never_taken_for_the_next_ca() -> None:
    obj = rotating("Trust")
    assert obj.status.ca_rotation is not None
    obj.status.ca_rotation.next = None
    foreign = render.ca_secret(obj, NEXT, FOLLOWING)
    foreign["metadata"] = {"name": FOLLOWING, "namespace": "team-a"}
    problem = rotation.authority(obj, Observed({**a_world(obj).children, **index([foreign])}), NOW)
    assert problem.ca is None
    assert problem.problem is not None
    assert "does not belong to EtcdCluster team-a/shop-etcd" in problem.problem.message


def test_an_old_consent_to_the_earlier_ca_does_not_bring_it_back() -> None:
    obj = rotating("Drop", "Reissue", **{ANNOTATION_TRUST_CA: CA_FINGERPRINT})
    found = rotation.authority(obj, with_secrets(obj, a_world(obj)), NOW)
    assert found.fingerprint == NEXT_FINGERPRINT
    assert not found.trusted_now


def unrecorded(phase: str | None) -> EtcdCluster:
    """The CA that the phase is about was not recorded yet."""
    obj = rotating(phase)
    if obj.status.ca_rotation is None:
        obj.status.ca_fingerprint = None
    else:
        obj.status.ca_rotation.next = None
    return obj


@pytest.mark.parametrize(("phase", "name"), [(None, OWN), ("Trust", FOLLOWING)])
@pytest.mark.parametrize(
    ("meta", "reason", "sentence"),
    [
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, CAReason.MISSING, "still being removed"),
        ({"labels": {}, "ownerReferences": []}, CAReason.CHANGED, "does not belong to EtcdCluster"),
    ],
    ids=["on its way out", "somebody else's"],
)
def test_a_ca_that_is_not_to_stay_is_not_recorded(
    phase: str | None, name: str, meta: dict[str, Any], reason: CAReason, sentence: str
) -> None:
    obj = unrecorded(phase)
    made = render.ca_secret(obj, NEXT, name)
    odd = {**made, "metadata": {**made["metadata"], **meta}}
    others = [render.ca_secret(obj, CA)] if name != OWN else []
    world = Observed(index([*others, odd]))

    found = rotation.authority(obj, world, NOW)

    assert found.ca is None
    assert found.problem is not None
    assert found.problem.reason is reason
    assert f"Secret team-a/{name} " in found.problem.message
    assert sentence in found.problem.message


@pytest.mark.parametrize(("phase", "name"), [(None, OWN), ("Trust", FOLLOWING)])
def test_a_ca_that_was_made_and_not_recorded_is(phase: str | None, name: str) -> None:
    obj = unrecorded(phase)
    cas = {OWN: render.ca_secret(obj, CA), name: render.ca_secret(obj, NEXT, name)}

    found = rotation.authority(obj, Observed(index(cas.values())), NOW)

    assert found.kept[name].cert_pem == NEXT.cert_pem
