"""Which certificates there are, and what is done about the CA."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from tests.unit.operators.etcd.builders import CA, CA_FINGERPRINT, NOW, an_etcd, formed

from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_TRUST_CA
from kok.operators.etcd.etcdcluster import render
from kok.operators.etcd.etcdcluster.certificates import certificates
from kok.operators.etcd.etcdcluster.certificates.certificates import (
    authority,
    leaf_specs,
    leaves,
    same_fingerprint,
)
from kok.pki import CAReason, CertificateAuthority, Leaf, fingerprint, new_ca

OTHER = new_ca("other", NOW)


def secret_of(ca: CertificateAuthority) -> Manifest:
    return render.ca_secret(formed(), ca)


def test_the_first_ca_is_made() -> None:
    made = authority(an_etcd(), None, None, NOW)

    assert made.new
    assert made.ca is not None
    assert made.fingerprint == fingerprint(made.ca.cert_pem)


def test_a_ca_that_was_made_but_not_recorded_is_used() -> None:
    found = authority(an_etcd(), secret_of(CA), None, NOW)

    assert not found.new
    assert found.fingerprint == CA_FINGERPRINT


def test_the_recorded_ca_is_used() -> None:
    found = authority(formed(), secret_of(CA), CA_FINGERPRINT, NOW)

    assert (found.new, found.trusted_now, found.fingerprint) == (False, False, CA_FINGERPRINT)


@pytest.mark.parametrize(
    ("secret", "reason", "sentence"),
    [
        (None, CAReason.MISSING, "kok.dev/trust-ca=<its fingerprint>"),
        (secret_of(OTHER), CAReason.CHANGED, "to go on with the CA that is there"),
        (
            {**secret_of(CA), "data": {**secret_of(CA)["data"], "tls.key": "%%%"}},
            CAReason.UNREADABLE,
            "the value of tls.key is not base64",
        ),
        (
            {**secret_of(CA), "data": {**secret_of(CA)["data"], "tls.crt": ""}},
            CAReason.MISSING,
            "put back the CA with fingerprint",
        ),
    ],
)
def test_a_ca_in_use_is_never_replaced(
    secret: Manifest | None, reason: CAReason, sentence: str
) -> None:
    found = authority(formed(), secret, CA_FINGERPRINT, NOW)

    assert found.ca is None
    assert found.problem is not None
    assert found.problem.reason is reason
    assert sentence in found.problem.message
    assert "PRIVATE KEY" not in found.problem.message


def test_a_secret_without_a_ca_is_not_overwritten() -> None:
    empty = {**secret_of(CA), "data": {"tls.crt": "", "tls.key": ""}}

    found = authority(an_etcd(), empty, None, NOW)

    assert found.problem is not None
    assert "delete it to get a new one" in found.problem.message


def test_another_ca_is_taken_if_the_user_names_it() -> None:
    wanted = fingerprint(OTHER.cert_pem)
    obj = formed(annotations={ANNOTATION_TRUST_CA: wanted.removeprefix("sha256:").upper()})

    found = authority(obj, secret_of(OTHER), CA_FINGERPRINT, NOW)

    assert found.trusted_now
    assert found.fingerprint == wanted


def test_consent_to_one_ca_is_not_consent_to_another() -> None:
    obj = formed(annotations={ANNOTATION_TRUST_CA: "sha256:beef"})

    assert authority(obj, secret_of(OTHER), CA_FINGERPRINT, NOW).ca is None


def test_consent_does_not_make_an_expired_ca_good() -> None:
    old = new_ca("old", NOW - timedelta(days=400), timedelta(days=1))
    obj = formed(annotations={ANNOTATION_TRUST_CA: fingerprint(old.cert_pem)})

    found = authority(obj, secret_of(old), CA_FINGERPRINT, NOW)

    assert found.ca is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sha256:AB:cd", "abcd", True),
        (" sha256:abcd ", "sha256:abcd", True),
        ("", "", False),
        ("sha256:", "sha256:", False),
        ("abcd", "abce", False),
    ],
)
def test_fingerprints_compare_in_any_common_form(one: str, other: str, same: bool) -> None:
    assert same_fingerprint(one, other) is same


def _names(leaf: Leaf) -> list[str]:
    found = x509.load_pem_x509_certificate(leaf.cert_pem)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def test_members_are_known_by_the_names_that_others_call() -> None:
    made = leaves(formed(), CA, {}, NOW).wanted

    assert _names(made["shop-etcd-peer"]) == ["*.shop-etcd-peers.team-a.svc"]
    assert set(_names(made["shop-etcd-server"])) == {
        "*.shop-etcd-peers.team-a.svc",
        "shop-etcd-client",
        "shop-etcd-client.team-a",
        "shop-etcd-client.team-a.svc",
        "localhost",
        "127.0.0.1",
        "::1",
    }


def test_only_members_have_the_name_that_peers_need() -> None:
    names = {name: spec.common_name for name, spec in leaf_specs(formed()).items()}

    assert names["shop-etcd-peer"] == "etcd-peer"
    assert "etcd-peer" not in {names["shop-etcd-client"], names["shop-etcd-server"]}


def _stored(obj_leaves: certificates.Leaves) -> dict[str, Manifest]:
    return {
        name: render.leaf_secret(formed(), name, leaf, CA.trust_pem)
        for name, leaf in obj_leaves.wanted.items()
    }


def test_good_certificates_are_kept_and_missing_ones_made() -> None:
    first = leaves(formed(), CA, {}, NOW)
    stored = _stored(first)
    del stored["shop-etcd-peer"]

    again = leaves(formed(), CA, stored, NOW + timedelta(days=1))

    assert set(first.issued) == {"shop-etcd-client", "shop-etcd-peer", "shop-etcd-server"}
    assert set(again.issued) == {"shop-etcd-peer"}
    assert again.wanted["shop-etcd-server"] == first.wanted["shop-etcd-server"]


def test_certificates_are_renewed_before_they_end() -> None:
    stored = _stored(leaves(formed(), CA, {}, NOW))

    assert leaves(formed(), CA, stored, NOW + timedelta(days=334)).issued == {}
    due = leaves(formed(), CA, stored, NOW + timedelta(days=336))
    assert set(due.issued) == set(stored)


def test_the_status_tells_dates_of_what_can_be_read() -> None:
    stored = _stored(leaves(formed(), CA, {}, NOW))
    stored["shop-etcd-peer"]["data"]["tls.crt"] = "bm9uc2Vuc2U="

    told = {one.name: one for one in certificates.dates(formed(), stored)}

    assert set(told) == {"shop-etcd-client", "shop-etcd-server"}
    one = told["shop-etcd-client"]
    assert one.not_after == NOW + timedelta(days=365)
    assert one.renew_at == NOW + timedelta(days=335)
    assert certificates.missing_leaves(formed(), stored) == ["shop-etcd-peer"]
