"""Certificates are what their spec says, and the verifiers of others accept them."""

from __future__ import annotations

import ipaddress
import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from hypothesis import given
from hypothesis import strategies as st

from kok.pki import (
    CA_LIFETIME,
    CertificateAuthority,
    Leaf,
    LeafSpec,
    PkiError,
    Usage,
    issue,
    merge_bundles,
    new_ca,
)

SERVER = LeafSpec(
    "kube-apiserver",
    dns_names=["kubernetes", "kubernetes.default.svc", "*.shop-etcd.team-a.svc.cluster.local"],
    ip_addresses=["10.65.0.1", "fd00::1"],
    usages=Usage.SERVER,
)
CLIENT = LeafSpec("kubernetes-admin", organizations=["kubeadm:cluster-admins"])
PEER = LeafSpec("shop-etcd-0", dns_names=["shop-etcd-0.local"], usages=Usage.BOTH)


def certificate(leaf: Leaf | CertificateAuthority) -> x509.Certificate:
    return x509.load_pem_x509_certificate(leaf.cert_pem)


def verifier(ca: CertificateAuthority, at: datetime) -> PolicyBuilder:
    return PolicyBuilder().store(Store([certificate(ca)])).time(at)


@pytest.mark.parametrize("name", ["kubernetes", "kubernetes.default.svc"])
def test_a_server_is_verified_under_its_names(ca, now, name):
    leaf = certificate(issue(ca, SERVER, now))
    chain = verifier(ca, now).build_server_verifier(x509.DNSName(name)).verify(leaf, [])
    assert chain == [leaf, certificate(ca)]


@pytest.mark.parametrize("address", ["10.65.0.1", "fd00::1"])
def test_a_server_is_verified_under_its_addresses(ca, now, address):
    subject = x509.IPAddress(ipaddress.ip_address(address))
    verifier(ca, now).build_server_verifier(subject).verify(certificate(issue(ca, SERVER, now)), [])


def test_a_server_is_not_verified_under_another_name(ca, now):
    verify = verifier(ca, now).build_server_verifier(x509.DNSName("kubernetes.other.svc"))
    with pytest.raises(VerificationError):
        verify.verify(certificate(issue(ca, SERVER, now)), [])


def test_usages_are_kept_apart(ca, now):
    client, peer = certificate(issue(ca, CLIENT, now)), certificate(issue(ca, PEER, now))
    server = certificate(issue(ca, SERVER, now))
    as_client = verifier(ca, now).build_client_verifier()
    as_client.verify(peer, [])
    verifier(ca, now).build_server_verifier(x509.DNSName("shop-etcd-0.local")).verify(peer, [])
    with pytest.raises(VerificationError):
        as_client.verify(server, [])
    usages = client.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_leaf_of_another_ca_of_the_same_name_is_refused(ca, other_ca, now):
    with pytest.raises(VerificationError):
        verifier(other_ca, now).build_server_verifier(x509.DNSName("kubernetes")).verify(
            certificate(issue(ca, SERVER, now)), []
        )


def test_kubernetes_reads_user_and_groups(ca, now):
    spec = LeafSpec("system:kube-scheduler", organizations=["b", "a", "b"])
    subject = certificate(issue(ca, spec, now)).subject
    assert [(a.oid._name, a.value) for a in subject] == [
        ("organizationName", "a"),
        ("organizationName", "b"),
        ("commonName", "system:kube-scheduler"),
    ]


def test_the_ca_may_sign_leaves_and_nothing_else(ca):
    extensions = certificate(ca).extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign


def test_identifiers_tie_the_leaf_to_its_ca(ca, now):
    leaf = certificate(issue(ca, SERVER, now))
    authority = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    identifier = certificate(ca).extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert authority.key_identifier == identifier.value.digest


def test_serials_and_keys_differ_each_time(ca, now):
    one, two = issue(ca, CLIENT, now), issue(ca, CLIENT, now)
    assert certificate(one).serial_number != certificate(two).serial_number
    assert one.key_pem != two.key_pem


def test_validity_begins_before_now_because_clocks_differ(ca, now):
    leaf = certificate(issue(ca, CLIENT, now))
    assert now - timedelta(minutes=10) == leaf.not_valid_before_utc
    assert now + timedelta(days=365) == leaf.not_valid_after_utc


@given(
    age=st.timedeltas(timedelta(0), CA_LIFETIME - timedelta(seconds=1)),
    lifetime=st.timedeltas(timedelta(seconds=1), timedelta.max),
)
def test_a_leaf_never_outlives_its_ca(ca, now, age, lifetime):
    moment = now + age
    leaf = certificate(issue(ca, LeafSpec("x", lifetime=lifetime), moment))
    assert leaf.not_valid_after_utc <= certificate(ca).not_valid_after_utc
    assert leaf.not_valid_after_utc >= moment.replace(microsecond=0)
    assert leaf.not_valid_before_utc >= certificate(ca).not_valid_before_utc


def test_an_expired_ca_signs_nothing(ca, now):
    with pytest.raises(PkiError, match="CN=kubernetes expired on 2037-02-26"):
        issue(ca, CLIENT, now + CA_LIFETIME)


def test_a_ca_with_a_foreign_key_signs_nothing(ca, other_ca, now):
    with pytest.raises(PkiError, match="another CA's key"):
        issue(CertificateAuthority(ca.cert_pem, other_ca.key_pem), CLIENT, now)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP384R1()),
    ],
    ids=["rsa", "ed25519", "p384"],
)
def test_a_users_own_ca_signs_too(key, now):
    """Without key identifier and with a key of another kind, as openssl's defaults make them."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "corporate")])
    own = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    own_key = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    own_ca = CertificateAuthority(own.public_bytes(serialization.Encoding.PEM), own_key)
    leaf = certificate(issue(own_ca, SERVER, now))
    leaf.verify_directly_issued_by(own)
    assert leaf.not_valid_after_utc == now + timedelta(days=30)


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"common_name": "x" * 65}, "has 65 characters"),
        ({"common_name": ""}, "has 0 characters"),
        ({"common_name": "x", "organizations": ["g" * 65]}, "has 65 characters"),
        ({"common_name": "x", "dns_names": ["b\u00fccher.example"]}, "in their xn-- form"),
        ({"common_name": "x", "dns_names": [""]}, "is not a DNS name"),
        ({"common_name": "x", "ip_addresses": ["10.0.0.256"]}, "10.0.0.256"),
        ({"common_name": "x", "lifetime": timedelta(0)}, "has no lifetime"),
        ({"common_name": "x", "usages": Usage(0)}, "has no usage"),
    ],
)
def test_what_cannot_stand_in_a_certificate_is_refused_with_a_sentence(bad, sentence):
    with pytest.raises(PkiError, match=sentence):
        LeafSpec(**bad)


def test_specs_are_sets_of_names():
    one = LeafSpec("x", dns_names=["b", "A", "a"], ip_addresses=["10.0.0.2", "10.0.0.1"])
    two = LeafSpec("x", dns_names=("a", "b"), ip_addresses=("10.0.0.1", "10.0.0.2", "10.0.0.1"))
    assert one == two
    assert hash(one) == hash(two)


def test_a_clock_without_time_zone_is_refused(ca, now):
    with pytest.raises(PkiError, match="no time zone"):
        issue(ca, CLIENT, now.replace(tzinfo=None))


def test_keys_do_not_show_when_printed(ca, now):
    leaf = issue(ca, CLIENT, now)
    assert "PRIVATE" not in f"{leaf!r}{leaf}{ca!r}{ca}"


def test_bundles_keep_order_and_hold_each_certificate_once(ca, other_ca):
    merged = merge_bundles(other_ca.cert_pem, b"\n", ca.cert_pem + other_ca.cert_pem, ca.cert_pem)
    assert merged == other_ca.cert_pem + ca.cert_pem
    rotating = CertificateAuthority(ca.cert_pem, ca.key_pem, other_ca.cert_pem + ca.cert_pem)
    assert rotating.trust_pem == ca.cert_pem + other_ca.cert_pem


def test_mutual_tls_works_between_two_leaves(tmp_path):
    """The standard library's ssl module asks the real clock, so this CA is made for today."""
    today = datetime.now(UTC)
    ca = new_ca("etcd", today)
    peer = LeafSpec("peer", dns_names=["peer.local"], usages=Usage.BOTH)
    server = context(ssl.PROTOCOL_TLS_SERVER, ca, issue(ca, peer, today), tmp_path)
    client = context(ssl.PROTOCOL_TLS_CLIENT, ca, issue(ca, peer, today), tmp_path)
    seen = handshake(client, server, "peer.local")
    assert seen["subject"] == ((("commonName", "peer"),),)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(client, server, "other.local")
    stranger = new_ca("etcd", today)
    unknown = context(ssl.PROTOCOL_TLS_CLIENT, ca, issue(stranger, peer, today), tmp_path)
    with pytest.raises(ssl.SSLError):
        handshake(unknown, server, "peer.local")


def context(protocol: int, ca: CertificateAuthority, leaf: Leaf, folder: Path) -> ssl.SSLContext:
    both = folder / "leaf.pem"
    both.write_bytes(leaf.cert_pem + leaf.key_pem)
    made = ssl.SSLContext(protocol)
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_verify_locations(cadata=ca.trust_pem.decode())
    made.load_cert_chain(both)
    return made


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> dict:
    """Both sides in memory, in turns; returns what the server learnt of the client."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    dialler = client.wrap_bio(to_client, to_server, server_hostname=name)
    listener = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (dialler, listener):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    assert done == {dialler, listener}
    return listener.getpeercert()


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
@pytest.mark.parametrize(
    ("spec", "accepted"),
    [
        (SERVER, {"sslserver": True, "sslclient": False}),
        (CLIENT, {"sslserver": False, "sslclient": True}),
        (PEER, {"sslserver": True, "sslclient": True}),
    ],
)
def test_openssl_agrees(ca, now, tmp_path, spec, accepted):
    (tmp_path / "ca.crt").write_bytes(ca.cert_pem)
    (tmp_path / "leaf.crt").write_bytes(issue(ca, spec, now).cert_pem)
    verify = ["openssl", "verify", "-x509_strict", "-attime", str(int(now.timestamp()))]
    found = {
        purpose: subprocess.run(
            [*verify, "-purpose", purpose, "-CAfile", "ca.crt", "leaf.crt"],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        ).returncode
        == 0
        for purpose in accepted
    }
    assert found == accepted
