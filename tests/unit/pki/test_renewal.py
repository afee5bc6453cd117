"""A certificate is renewed when it must be, with the reason, and never in a loop."""

from __future__ import annotations

import ssl
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kok.pki import (
    CA_LIFETIME,
    CertificateAuthority,
    Leaf,
    LeafSpec,
    PkiError,
    RenewReason,
    Usage,
    certificate_info,
    issue,
    must_renew,
    new_ca,
)

SPEC = LeafSpec(
    "kube-apiserver",
    organizations=["group"],
    dns_names=["kubernetes", "kubernetes.default"],
    ip_addresses=["10.65.0.1"],
    usages=Usage.SERVER,
)
MONTH = timedelta(days=30)
YEAR = timedelta(days=365)


@pytest.fixture(scope="session")
def leaf(ca, now):
    return issue(ca, SPEC, now)


def changed(**fields) -> LeafSpec:
    spec = {
        "common_name": "kube-apiserver",
        "organizations": ["group"],
        "dns_names": ["kubernetes", "kubernetes.default"],
        "ip_addresses": ["10.65.0.1"],
        "usages": Usage.SERVER,
    }
    return LeafSpec(**{**spec, **fields})


def test_a_good_leaf_is_left_alone(ca, leaf, now):
    assert must_renew(leaf, SPEC, ca, now, MONTH) is None
    assert must_renew(leaf, SPEC, ca, now + YEAR - MONTH - timedelta(seconds=1), MONTH) is None
    reordered = changed(dns_names=["KUBERNETES.default", "kubernetes", "kubernetes"])
    assert must_renew(leaf, reordered, ca.trust_pem, now, MONTH) is None


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            changed(common_name="other"),
            (
                RenewReason.SUBJECT_CHANGED,
                "the certificate is for CN=kube-apiserver,O=group, wanted is CN=other,O=group",
            ),
        ),
        (
            changed(organizations=["group", "more"]),
            (
                RenewReason.SUBJECT_CHANGED,
                "the certificate is for CN=kube-apiserver,O=group, wanted is"
                " CN=kube-apiserver,O=more,O=group",
            ),
        ),
        (
            changed(dns_names=["kubernetes", "api.example"]),
            (
                RenewReason.NAMES_CHANGED,
                "the certificate lacks api.example and should not have kubernetes.default",
            ),
        ),
        (
            changed(ip_addresses=["10.65.0.1", "192.0.2.10"]),
            (RenewReason.NAMES_CHANGED, "the certificate lacks 192.0.2.10"),
        ),
        (
            changed(ip_addresses=[]),
            (RenewReason.NAMES_CHANGED, "the certificate should not have 10.65.0.1"),
        ),
        (
            changed(dns_names=["kubernetes", "kubernetes.default", "10.65.0.1"], ip_addresses=[]),
            (
                RenewReason.NAMES_CHANGED,
                "the certificate lacks 10.65.0.1 and should not have 10.65.0.1",
            ),
        ),
        (
            changed(usages=Usage.BOTH),
            (RenewReason.USAGES_CHANGED, "the certificate is for other usages than wanted"),
        ),
        (
            changed(lifetime=timedelta(days=90)),
            (RenewReason.LIFETIME_SHORTENED, "the certificate lives 365 days, wanted are 90"),
        ),
    ],
)
def test_a_changed_spec_says_what_changed(ca, leaf, now, spec, expected):
    found = must_renew(leaf, spec, ca, now, MONTH)
    assert found is not None
    assert (found.reason, found.message) == expected


def test_a_longer_lifetime_waits_for_the_next_renewal(ca, leaf, now):
    assert must_renew(leaf, changed(lifetime=2 * YEAR), ca, now, MONTH) is None


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (YEAR - MONTH, RenewReason.EXPIRING),
        (YEAR - timedelta(seconds=1), RenewReason.EXPIRING),
        (YEAR, RenewReason.EXPIRED),
        (-timedelta(hours=1), RenewReason.NOT_YET_VALID),
    ],
)
def test_dates(now, after, reason):
    ca = new_ca("kubernetes", now - timedelta(days=1))
    leaf = issue(ca, SPEC, now)
    found = must_renew(leaf, SPEC, ca, now + after, MONTH)
    assert found is not None
    assert found.reason == reason


def test_the_date_shown_is_the_date_of_renewal(ca, leaf, now):
    due = certificate_info(leaf.cert_pem, MONTH).renew_at
    assert must_renew(leaf, SPEC, ca, due - timedelta(seconds=1), MONTH) is None
    found = must_renew(leaf, SPEC, ca, due, MONTH)
    assert found is not None
    assert found.reason == RenewReason.EXPIRING


def test_a_leaf_of_a_stranger_and_of_an_earlier_ca(ca, other_ca, leaf, now):
    found = must_renew(leaf, SPEC, other_ca, now, MONTH)
    assert found is not None
    assert found.reason == RenewReason.NOT_SIGNED_BY_CA
    rotating = CertificateAuthority(other_ca.cert_pem, other_ca.key_pem, bundle=ca.cert_pem)
    found = must_renew(leaf, SPEC, rotating, now, MONTH)
    assert found is not None
    assert found.reason == RenewReason.CA_RENEWED
    trusted_before_use = CertificateAuthority(ca.cert_pem, ca.key_pem, bundle=other_ca.cert_pem)
    assert must_renew(leaf, SPEC, trusted_before_use, now, MONTH) is None


@pytest.mark.parametrize("missing", [None, Leaf(b"", b""), Leaf(b"\n", b"x"), Leaf(b"x", b"")])
def test_a_missing_leaf(ca, now, missing):
    found = must_renew(missing, SPEC, ca, now, MONTH)
    assert found is not None
    assert found.reason == RenewReason.MISSING


def test_a_key_that_is_not_the_certificates(ca, leaf, now):
    found = must_renew(
        Leaf(leaf.cert_pem, issue(ca, SPEC, now).key_pem), SPEC, ca, now, timedelta(0)
    )
    assert found is not None
    assert found.reason == RenewReason.KEY_MISMATCH


def test_a_version_that_nobody_knows_is_a_reason(ca, leaf, now):
    """The parser has an error of its own for it, which is no `ValueError`."""
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_pem.decode())
    odd = der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020106"), 1)
    text = ssl.DER_cert_to_PEM_cert(odd).encode()
    found = must_renew(Leaf(text, leaf.key_pem), SPEC, ca, now, MONTH)
    assert found is not None
    assert found.reason == RenewReason.UNREADABLE


@pytest.mark.filterwarnings("ignore:Parsed a serial number:UserWarning")
@given(data=st.data())
def test_damage_of_any_kind_is_a_reason_and_not_a_crash(ca, leaf, now, data):
    """One byte of the certificate is changed: it is unreadable, or not what was signed."""
    text = bytearray(leaf.cert_pem)
    where = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.sampled_from(b"ABCxyz059+/= -\n\x00\xff"))
    same = text[where] == byte
    text[where] = byte
    found = must_renew(Leaf(bytes(text), leaf.key_pem), SPEC, ca, now, MONTH)
    if same:
        assert found is None
    elif found is not None:
        assert found.reason in {
            RenewReason.UNREADABLE,
            RenewReason.KEY_MISMATCH,
            RenewReason.NOT_SIGNED_BY_CA,
        }


def test_nothing_of_a_damaged_secret_is_quoted(ca, leaf, now):
    swapped = Leaf(leaf.key_pem, leaf.cert_pem)
    found = must_renew(swapped, SPEC, ca, now, MONTH)
    assert found is not None
    assert found.message == "the certificate or its key cannot be read: not a PEM certificate"


def test_an_unreadable_bundle_is_the_callers_error(leaf, now):
    with pytest.raises(PkiError):
        must_renew(leaf, SPEC, b"no certificate", now, MONTH)


@settings(max_examples=40)
@given(
    lifetime=st.timedeltas(timedelta(minutes=5), timedelta(days=4000)),
    renew_before=st.timedeltas(timedelta(0), timedelta(days=4000)),
    age=st.timedeltas(timedelta(0), CA_LIFETIME - timedelta(minutes=1)),
)
@example(lifetime=timedelta(minutes=5), renew_before=timedelta(minutes=5), age=timedelta(0))
def test_a_fresh_leaf_is_never_renewed_at_once(ca, now, lifetime, renew_before, age):
    spec, moment = LeafSpec("x", lifetime=lifetime), (now + age).replace(microsecond=0)
    fresh = issue(ca, spec, moment)
    assert must_renew(fresh, spec, ca, moment, renew_before) is None


@settings(max_examples=10, deadline=None)
@given(
    lifetime=st.integers(2, 500).map(lambda days: timedelta(days=days)),
    renew_before=st.integers(0, 500).map(lambda days: timedelta(days=days)),
)
def test_a_life_of_passes_has_few_renewals_and_no_gap(now, lifetime, renew_before):
    """Also near the end of the CA, where new leaves get ever shorter."""
    ca = new_ca("kubernetes", now, lifetime=10 * lifetime)
    spec = LeafSpec("x", lifetime=lifetime)
    leaf, renewals = issue(ca, spec, now), 0
    for step in range(1, 200):
        moment = now + step * lifetime / 20
        if must_renew(leaf, spec, ca, moment, renew_before):
            leaf, renewals = issue(ca, spec, moment), renewals + 1
        assert certificate_info(leaf.cert_pem).not_after > moment
    assert 9 <= renewals <= 20
