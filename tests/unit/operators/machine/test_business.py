"""What the operator does in business clusters: nodes, certificate requests, tokens."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operators.machine.builders import NOW

from kok import pki
from kok.api.fields import Taint
from kok.api.meta import Manifest
from kok.operators.machine.business import certificates, drain, nodes, tokens
from kok.operators.machine.business.certificates import Request, Subject
from kok.operators.machine.business.tenants import way
from kok.operators.machine.host.join import Access

# --- nodes


def node(
    labels: dict[str, str] | None = None,
    taints: Sequence[dict[str, str]] = (),
    note: str = "",
    **status: Any,
) -> Manifest:
    meta: dict[str, Any] = {
        "name": "w1",
        "uid": "u",
        "resourceVersion": "7",
        "labels": labels or {},
    }
    if note:
        meta["annotations"] = {nodes.ANNOTATION_SET: note}
    return {"metadata": meta, "spec": {"taints": list(taints)}, "status": status}


def taint(key: str, effect: str = "NoSchedule", value: str = "") -> Taint:
    return Taint(key=key, effect=effect, value=value)  # type: ignore[arg-type] # any text here


def merged(live: Manifest, patch: Manifest | None) -> Manifest:
    """What the API server makes of a merge patch."""

    def merge(old: Any, new: Any) -> Any:
        if not isinstance(new, dict):
            return new
        out = dict(old) if isinstance(old, dict) else {}
        for key, value in new.items():
            if value is None:
                out.pop(key, None)
            else:
                out[key] = merge(out.get(key), value)
        return out

    result: Manifest = merge(live, patch or {})
    return result


def test_labels_and_taints_are_set_and_what_others_set_stays() -> None:
    theirs = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}
    live = node({"kubernetes.io/os": "linux"}, [theirs])
    patch = nodes.patch(nodes.view(live), {"tier": "gold"}, [taint("dedicated", value="shop")])
    after = merged(live, patch)
    assert after["metadata"]["labels"] == {"kubernetes.io/os": "linux", "tier": "gold"}
    assert after["spec"]["taints"] == [
        theirs,
        {"key": "dedicated", "value": "shop", "effect": "NoSchedule"},
    ]
    # A list made from an old one must not overwrite what others changed meanwhile.
    assert patch
    assert patch["metadata"]["resourceVersion"] == "7"
    assert (
        nodes.patch(nodes.view(after), {"tier": "gold"}, [taint("dedicated", value="shop")]) is None
    )


def test_what_is_no_longer_wanted_goes_and_only_that() -> None:
    live = node({"mine": "1"})
    live = merged(
        live, nodes.patch(nodes.view(live), {"a": "1", "b": "2"}, [taint("x"), taint("y")])
    )
    live = merged(live, nodes.patch(nodes.view(live), {"a": "3"}, [taint("y")]))
    assert live["metadata"]["labels"] == {"mine": "1", "a": "3"}
    assert [t["key"] for t in live["spec"]["taints"]] == ["y"]


def test_nothing_wanted_and_nothing_set_is_no_change() -> None:
    assert nodes.patch(nodes.view(node()), {}, []) is None
    assert nodes.patch(nodes.view(node(note="rubbish from somebody")), {"a": "1"}, []) is not None


_labels = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"))
_taints = st.lists(st.sampled_from("xyz"), unique=True).map(lambda keys: [taint(k) for k in keys])


@given(_labels, st.lists(st.tuples(_labels, _taints), min_size=1, max_size=4))
def test_any_sequence_of_wishes_ends_in_the_last_one(
    theirs: dict[str, str], wishes: list[tuple[dict[str, str], list[Taint]]]
) -> None:
    live = node({f"their-{key}": value for key, value in theirs.items()})
    for labels, taints in wishes:
        live = merged(live, nodes.patch(nodes.view(live), labels, taints))
        assert nodes.patch(nodes.view(live), labels, taints) is None
    labels, taints = wishes[-1]
    own = {k: v for k, v in live["metadata"]["labels"].items() if not k.startswith("their-")}
    assert own == labels
    assert {t["key"] for t in live["spec"]["taints"]} == {t.key for t in taints}
    assert len(live["metadata"]["labels"]) == len(own) + len(theirs)


def test_a_heartbeat_is_no_change_worth_a_pass() -> None:
    condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": "1"}
    one = nodes.view(node(conditions=[condition]))
    later = node(conditions=[{**condition, "lastHeartbeatTime": "2"}])
    later["metadata"]["resourceVersion"] = "8"
    assert nodes.gist(one) == nodes.gist(nodes.view(later))
    gone = node(conditions=[{**condition, "status": "Unknown"}])
    assert nodes.gist(one) != nodes.gist(nodes.view(gone))


# --- certificate requests

SUBJECT = Subject("w1", "worker-1", ("192.0.2.21", "fd00::21", "host.example"))
GOOD: dict[str, Any] = {
    "node": "w1",
    "groups": ("system:nodes", "system:authenticated"),
    "usages": ("digital signature", "key encipherment", "server auth"),
    "common_name": "system:node:w1",
    "organizations": ("system:nodes",),
    "names": ("w1",),
    "addresses": ("192.0.2.21",),
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
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    pem = signed.public_bytes(serialization.Encoding.PEM)
    return Request(
        "csr-1", asked["node"], frozenset(asked["groups"]), frozenset(asked["usages"]), pem
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"names": ("worker-1", "w1"), "addresses": ("192.0.2.21", "fd00::21")},
        {"addresses": ()},
        {"usages": ("digital signature", "server auth")},
    ],
)
def test_a_request_of_the_machine_itself_is_granted(changes: dict[str, Any]) -> None:
    assert certificates.objection(request(**changes), SUBJECT) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"node": "w2"}, "it comes from node w2"),
        ({"groups": ("system:authenticated",)}, "not in the group system:nodes"),
        ({"usages": ("client auth", "digital signature")}, "it asks for the usages client auth"),
        ({"usages": (*GOOD["usages"], "client auth")}, "it asks for the usages client auth"),
        ({"usages": ("digital signature",)}, "it asks for the usages digital signature"),
        ({"common_name": "system:node:w2"}, "its subject is"),
        ({"organizations": ("system:masters",)}, "its subject is"),
        ({"organizations": ("system:nodes", "system:masters")}, "its subject is"),
        ({"names": ("w1", "api.shop.example")}, "it names api.shop.example, which is not"),
        ({"addresses": ("192.0.2.21", "192.0.2.10")}, "it names 192.0.2.10, which is not"),
        ({"names": (), "addresses": ()}, "it names neither host nor address"),
        ({"others": [x509.UniformResourceIdentifier("spiffe://x")]}, "names of other kinds"),
    ],
)
def test_anything_else_is_refused_with_the_reason(changes: dict[str, Any], why: str) -> None:
    objection = certificates.objection(request(**changes), SUBJECT)
    assert objection is not None
    assert why in objection


def test_a_request_that_cannot_be_read_is_refused() -> None:
    broken = Request("csr-1", "w1", frozenset({"system:nodes"}), frozenset(GOOD["usages"]), b"x")
    assert certificates.objection(broken, SUBJECT) == "it cannot be read"


def test_only_undecided_requests_for_serving_certificates_are_looked_at() -> None:
    spec = {
        "signerName": certificates.SIGNER,
        "username": "system:node:w1",
        "request": base64.b64encode(b"pem").decode(),
    }
    csr: Manifest = {"metadata": {"name": "c"}, "spec": spec}
    found = certificates.request_of(csr)
    assert found
    assert (found.node, found.pem) == ("w1", b"pem")
    denied = {**csr, "status": {"conditions": [{"type": "Denied"}]}}
    assert certificates.request_of(denied) is None
    other = {**csr, "spec": {**spec, "signerName": "example.com/x"}}
    assert certificates.request_of(other) is None
    stranger = certificates.request_of({**csr, "spec": {**spec, "username": "mallory"}})
    assert stranger
    assert stranger.node == ""


# --- tokens

ACCESS = Access("https://192.0.2.10:31443", pki.new_ca("shop", NOW).cert_pem)


def test_a_token_is_for_one_machine_and_lives_for_minutes() -> None:
    made = tokens.secret("abc123", "team-a/w1", NOW)
    assert made["metadata"] == {"name": "bootstrap-token-abc123", "namespace": "kube-system"}
    token = tokens.usable(made, NOW)
    assert token
    assert token.startswith("abc123.")
    assert len(token) == 23
    assert tokens.usable(made, NOW + timedelta(minutes=9)) is None
    assert tokens.usable(None, NOW) is None
    assert pki.decode(made, "auth-extra-groups") == tokens.GROUP.encode()
    text = tokens.bootstrap_kubeconfig(ACCESS, token)
    assert pki.parse_kubeconfig(text).credentials == pki.Token(token)


def test_a_damaged_token_is_none() -> None:
    made = tokens.secret("abc123", "team-a/w1", NOW)
    made["data"] |= pki.encode({"expiration": "tomorrow"})
    assert tokens.usable(made, NOW) is None


# --- the way to a business cluster


def test_outside_of_pods_the_public_address_is_used_with_the_operators_own_rights() -> None:
    ours, theirs = pki.Token("ours"), pki.Token("theirs")
    ca = ACCESS.ca
    internal = pki.kubeconfig("shop", "https://shop-apiserver.team-a.svc:6443", ca, "kok", ours)
    public = pki.kubeconfig("shop", "https://192.0.2.10:31443", ca, "admin", theirs)
    outside = pki.parse_kubeconfig(way(internal, public, inside=False).kubeconfig)
    assert (outside.server, outside.credentials) == ("https://192.0.2.10:31443", ours)
    assert way(internal, public, inside=True).kubeconfig == internal
    assert "ours" not in repr(way(internal, public, inside=True))


# --- draining


@pytest.mark.parametrize(
    ("pod", "leaves"),
    [
        ({}, True),
        ({"ownerReferences": [{"controller": True, "kind": "ReplicaSet"}]}, True),
        ({"ownerReferences": [{"controller": True, "kind": "DaemonSet"}]}, False),
        ({"annotations": {"kubernetes.io/config.mirror": "x"}}, False),
    ],
)
def test_which_pods_leave(pod: dict[str, Any], leaves: bool) -> None:
    assert drain.concerns({"metadata": pod, "status": {"phase": "Running"}}) is leaves


def test_pods_that_ended_need_not_leave() -> None:
    assert not drain.concerns({"metadata": {}, "status": {"phase": "Succeeded"}})
