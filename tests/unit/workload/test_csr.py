"""Whether a kubelet gets the certificate that it asks for."""

from __future__ import annotations

import base64
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import NameOID
from tests.unit.operators.machine import builders

from kok.api.meta import Manifest
from kok.api.names import MACHINE_BOOTSTRAPPERS
from kok.workload import csr as certificates
from kok.workload.csr import Request, Subject
from kok.workload.reserved_names import is_address, reserved

SUBJECT = Subject("w1", ("192.0.2.21", "fd00::21"), "abc123")
TAKEN = reserved(
    builders.cluster(
        endpoint={"host": "api.shop.example", "extraSANs": ["198.51.100.7", "shop.example"]},
        status={"endpoint": "https://198.51.100.6:6443"},
    ),
    ["203.0.113.1", "meta-1"],
).with_hosts({"192.0.2.22": "an address of Machine shop-workers-w2"})
GOOD: dict[str, Any] = {
    "signer": certificates.SERVING,
    "asker": "system:node:w1",
    "groups": ("system:nodes", "system:authenticated"),
    "usages": ("digital signature", "key encipherment", "server auth"),
    "common_name": "system:node:w1",
    "organizations": ("system:nodes",),
    "names": ("w1",),
    "addresses": ("192.0.2.21",),
    "key": ec.generate_private_key(ec.SECP256R1()),
}


def request(**changes: Any) -> Request:
    asked = {**GOOD, **changes}
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, asked["common_name"])]
    attributes += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in asked["organizations"]]
    names: list[x509.GeneralName] = [x509.DNSName(n) for n in asked["names"]]
    names += [x509.IPAddress(ip_address(a)) for a in asked["addresses"]]
    names += asked.get("others", [])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = builder.sign(asked["key"], hashes.SHA256())
    pem = signed.public_bytes(serialization.Encoding.PEM)
    return Request(
        "csr-1",
        asked["signer"],
        asked["asker"],
        frozenset(asked["groups"]),
        frozenset(asked["usages"]),
        pem,
    )


FIRST: dict[str, Any] = {
    "signer": certificates.CLIENT,
    "asker": "system:bootstrap:abc123",
    "groups": ("system:bootstrappers", MACHINE_BOOTSTRAPPERS, "system:authenticated"),
    "usages": ("digital signature", "client auth"),
    "names": (),
    "addresses": (),
}
"""What a kubelet asks for with the bootstrap token of its Machine."""


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"addresses": ("192.0.2.21", "fd00::21")},
        {"addresses": ()},
        {"usages": ("digital signature", "server auth")},
        FIRST,
        {**FIRST, "usages": ("digital signature", "key encipherment", "client auth")},
    ],
)
def test_a_request_of_the_machine_itself_is_granted(changes: dict[str, Any]) -> None:
    assert certificates.objection(request(**changes), SUBJECT, TAKEN) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"asker": "system:node:w2"}, "it comes from system:node:w2"),
        ({"groups": ("system:authenticated",)}, "not in the group system:nodes"),
        ({"usages": ("client auth", "digital signature")}, "it asks for the usages client auth"),
        ({"usages": (*GOOD["usages"], "client auth")}, "it asks for the usages client auth"),
        ({"usages": ("digital signature",)}, "it asks for the usages digital signature"),
        ({"common_name": "system:node:w2"}, "its subject is"),
        ({"organizations": ("system:masters",)}, "its subject is"),
        ({"organizations": ("system:nodes", "system:masters")}, "its subject is"),
        ({"names": ("w1", "w9.example")}, "it names w9.example, which is not"),
        (
            {"addresses": ("192.0.2.21", "10.0.2.15")},
            "it names 10.0.2.15, which is not in the Machine's spec; if the host truly has it, "
            "list it under addresses of the host",
        ),
        # A host may call itself what it likes.
        ({"names": ("w1", "worker-1")}, "it names worker-1, which is not"),
        ({**FIRST, "asker": "system:bootstrap:zzz999"}, "it comes from system:bootstrap:zzz999"),
        ({**FIRST, "asker": "system:node:w1"}, "it comes from system:node:w1"),
        (
            {**FIRST, "groups": ("system:bootstrappers",)},
            f"not in the group {MACHINE_BOOTSTRAPPERS}",
        ),
        ({**FIRST, "common_name": "system:node:w2"}, "its subject is"),
        ({**FIRST, "organizations": ("system:masters",)}, "its subject is"),
        ({**FIRST, "usages": ("server auth",)}, "it asks for the usages server auth"),
        ({**FIRST, "names": ("w1",)}, "it names hosts or addresses"),
        ({"addresses": ("192.0.2.21", "192.0.2.10")}, "it names 192.0.2.10, which is not"),
        ({"names": (), "addresses": ()}, "it names neither host nor address"),
        ({"others": [x509.UniformResourceIdentifier("spiffe://x")]}, "names of other kinds"),
    ],
)
def test_anything_else_is_refused_with_the_reason(changes: dict[str, Any], why: str) -> None:
    objection = certificates.objection(request(**changes), SUBJECT, TAKEN)
    assert objection is not None
    assert why in objection


@pytest.mark.parametrize(
    ("host", "what"),
    [
        ("api.shop.example", "the API server's"),
        ("API.shop.example.", "the API server's"),
        ("198.51.100.6", "the API server's"),
        ("198.51.100.7", "the API server's"),
        ("shop.example", "the API server's"),
        ("shop-apiserver.team-a.svc", "the API server's"),
        ("kubernetes", "the API server's"),
        ("kubernetes.default.svc.cluster.local", "the API server's"),
        ("localhost", "every host's own"),
        ("127.0.0.1", "a loopback address"),
        ("::1", "a loopback address"),
        ("169.254.169.254", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("224.0.0.1", "a multicast address"),
        ("0.0.0.0", "the unspecified address"),  # noqa: S104 - no socket
        ("::", "the unspecified address"),
        ("255.255.255.255", "the broadcast address"),
        ("::ffff:c000:215", "an IPv4 address written as IPv6"),
        ("10.65.0.1", "in 10.65.0.0/20, the range of Services"),
        ("10.64.3.9", "in 10.64.0.0/16, the range of pods"),
        ("203.0.113.1", "an address of the meta cluster's nodes"),
        ("meta-1", "an address of the meta cluster's nodes"),
        ("192.0.2.22", "an address of Machine shop-workers-w2"),
    ],
)
def test_what_is_the_apis_or_another_hosts_no_node_gets_whoever_lists_it(
    host: str, what: str
) -> None:
    """Or a host could serve in the place of the API, or of another host."""
    sure = replace(SUBJECT, node=host, addresses=(*SUBJECT.addresses, host))
    asked = {"addresses": (host,)} if is_address(host) else {"names": (host,), "addresses": ()}
    user = certificates.by_node(host)
    objection = certificates.objection(request(**asked, asker=user, common_name=user), sure, TAKEN)
    assert objection == f"it names {host}, which is {what}; no node may have it"


@pytest.mark.parametrize("host", ["kubernetes-1", "w1", "192.0.2.21", "fd00::21"])
def test_what_is_nobody_elses_a_node_may_have(host: str) -> None:
    assert TAKEN.of(host) is None


def test_a_request_with_very_many_names_makes_a_short_sentence() -> None:
    many = tuple(f"x{number}.example" for number in range(500))
    objection = certificates.objection(request(names=many), SUBJECT, TAKEN)
    assert objection
    assert "x2.example and 497 more" in objection


def test_without_a_token_there_is_nothing_to_ask_for_with_one() -> None:
    objection = certificates.objection(request(**FIRST), replace(SUBJECT, token_id=None), TAKEN)
    assert objection == "it comes from system:bootstrap:abc123"


def _of_version(pem: bytes, version: int) -> bytes:
    """A request whose first field says another version than 0, which is the only one."""
    lines = pem.decode().splitlines()
    der = base64.b64decode("".join(lines[1:-1]))
    odd = der.replace(b"\x02\x01\x00", bytes([2, 1, version]), 1)
    return "\n".join([lines[0], base64.b64encode(odd).decode(), lines[-1], ""]).encode()


@pytest.mark.parametrize(
    "pem", [b"x", _of_version(request().pem, 6)], ids=["rubbish", "of another version"]
)
def test_a_request_that_cannot_be_read_is_refused(pem: bytes) -> None:
    broken = replace(request(), pem=pem)
    assert certificates.objection(broken, SUBJECT, TAKEN) == "it cannot be read"


MINE, OTHERS = request().pem, request(common_name="system:node:victim").pem


@pytest.mark.parametrize(
    "pem",
    [
        b"x " + MINE + OTHERS,
        b"\t" + MINE + OTHERS,
        MINE.replace(b"\n", b"\r") + b"\n" + OTHERS,
        MINE + OTHERS,
        OTHERS[:40] + b"\n" + MINE,
        MINE.replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"),
    ],
)
def test_a_request_in_which_another_one_could_be_read_is_refused(pem: bytes) -> None:
    assert certificates.objection(request(), SUBJECT, TAKEN) is None
    objection = certificates.objection(replace(request(), pem=pem), SUBJECT, TAKEN)
    assert objection
    assert "others could read something else" in objection or objection == "it cannot be read"


@pytest.mark.parametrize("oid", ["1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14"])
def test_a_second_list_of_extensions_is_refused(oid: str) -> None:
    """cryptography takes the first one, Kubernetes all of them."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "system:node:w1"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    names = x509.SubjectAlternativeName([x509.DNSName("w1")])
    builder = builder.add_extension(names, critical=False)
    builder = builder.add_attribute(x509.ObjectIdentifier(oid), b"what others may read")
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    twice = replace(request(), pem=signed.public_bytes(serialization.Encoding.PEM))
    assert certificates.objection(twice, SUBJECT, TAKEN)


def test_only_undecided_requests_of_kubelets_are_looked_at() -> None:
    spec = {
        "signerName": certificates.SERVING,
        "username": "system:node:w1",
        "request": base64.b64encode(b"pem").decode(),
    }
    csr: Manifest = {"metadata": {"name": "c"}, "spec": spec}
    found = certificates.request_of(csr)
    assert found
    assert (found.asker, found.pem) == ("system:node:w1", b"pem")
    denied = {**csr, "status": {"conditions": [{"type": "Denied"}]}}
    assert certificates.request_of(denied) is None
    other = {**csr, "spec": {**spec, "signerName": "example.com/x"}}
    assert certificates.request_of(other) is None
    assert certificates.request_of({**csr, "spec": {**spec, "username": "mallory"}}) is None
    # A node asks for its next client certificate itself, and Kubernetes grants that.
    rotation = {**spec, "signerName": certificates.CLIENT}
    assert certificates.request_of({**csr, "spec": rotation}) is None


def test_no_signature_is_tried_that_takes_long_or_of_whoever_asks_for_what_is_not_his() -> None:
    # One of 16384 bits costs a hundred times as much; making it takes minutes.
    huge = request(key=rsa.generate_private_key(public_exponent=65537, key_size=5120))
    why = certificates.objection(huge, SUBJECT, TAKEN)
    assert why == "its key is larger than RSA with 4096 bits"
    ancient = request(key=dsa.generate_private_key(key_size=2048))
    why = certificates.objection(ancient, SUBJECT, TAKEN)
    assert why == "its key is of a kind that no kubelet has"
    good = request(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    assert certificates.objection(good, SUBJECT, TAKEN) is None


def test_a_wrong_signature_is_found() -> None:
    lines = request().pem.decode().splitlines()
    der = bytearray(base64.b64decode("".join(lines[1:-1])))
    der[-1] ^= 1
    text = base64.encodebytes(bytes(der)).decode().replace("\n", "")
    body = [text[at : at + 64] for at in range(0, len(text), 64)]
    forged = "\n".join([lines[0], *body, lines[-1], ""]).encode()
    why = certificates.objection(replace(request(), pem=forged), SUBJECT, TAKEN)
    assert why == "its signature is wrong"
