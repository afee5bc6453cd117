"""What the operator does in business clusters: nodes, certificate requests, tokens."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
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
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW

from kok import pki
from kok.api.fields import Taint
from kok.api.meta import Manifest
from kok.api.names import MACHINE_BOOTSTRAPPERS
from kok.kube import certificates
from kok.kube.certificates import Request, Subject
from kok.kube.identity import Identity
from kok.operators.machine.business import drain, nodes, tokens
from kok.operators.machine.business.pulse import SILENCE, Pulse
from kok.operators.machine.business.tenants import way
from kok.operators.machine.host.join import Access
from kok.pki.reserved import is_address, reserved

# --- nodes


def node(
    labels: dict[str, str] | None = None,
    taints: Sequence[dict[str, str]] = (),
    **status: Any,
) -> Manifest:
    meta: dict[str, Any] = {
        "name": "w1",
        "uid": "u",
        "resourceVersion": "7",
        "labels": labels or {},
    }
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
    wanted = {"tier": "gold"}, [taint("dedicated", value="shop")]
    patch = nodes.patch(nodes.view(live), *wanted, None)
    after = merged(live, patch)
    assert after["metadata"]["labels"] == {"kubernetes.io/os": "linux", "tier": "gold"}
    assert after["spec"]["taints"] == [
        theirs,
        {"key": "dedicated", "value": "shop", "effect": "NoSchedule"},
    ]
    # A list made from an old one must not overwrite what others changed meanwhile.
    assert patch
    assert patch["metadata"]["resourceVersion"] == "7"
    assert nodes.patch(nodes.view(after), *wanted, nodes.marks(*wanted)) is None


def test_what_is_no_longer_wanted_goes_and_only_that() -> None:
    live = node({"mine": "1"})
    first = {"a": "1", "b": "2"}, [taint("x"), taint("y")]
    live = merged(live, nodes.patch(nodes.view(live), *first, None))
    live = merged(
        live, nodes.patch(nodes.view(live), {"a": "3"}, [taint("y")], nodes.marks(*first))
    )
    assert live["metadata"]["labels"] == {"mine": "1", "a": "3"}
    assert [t["key"] for t in live["spec"]["taints"]] == ["y"]


def test_nothing_wanted_and_nothing_set_is_no_change() -> None:
    assert nodes.patch(nodes.view(node()), {}, [], None) is None
    assert nodes.marks({}, []) is None


def test_a_kubelet_cannot_have_taken_away_what_it_may_not_change_itself() -> None:
    """It may write what it likes into its own Node, annotations included."""
    live = node({"team": "a"}, [{"key": "dedicated", "effect": "NoSchedule"}])
    note = '{"labels":["team"],"taints":[["dedicated","NoSchedule"]]}'
    live["metadata"]["annotations"] = {"kok.dev/set": note}
    assert nodes.patch(nodes.view(live), {}, [], None) is None


_labels = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"))
_taints = st.lists(st.sampled_from("xyz"), unique=True).map(lambda keys: [taint(k) for k in keys])


@given(_labels, st.lists(st.tuples(_labels, _taints), min_size=1, max_size=4))
def test_any_sequence_of_wishes_ends_in_the_last_one(
    theirs: dict[str, str], wishes: list[tuple[dict[str, str], list[Taint]]]
) -> None:
    live = node({f"their-{key}": value for key, value in theirs.items()})
    marks = None
    for labels, taints in wishes:
        live = merged(live, nodes.patch(nodes.view(live), labels, taints, marks))
        marks = nodes.marks(labels, taints)
        assert nodes.patch(nodes.view(live), labels, taints, marks) is None
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


def test_of_a_node_that_tells_too_much_the_beginning_is_kept() -> None:
    told = node(conditions=[{"type": "Ready", "status": "True", "lastHeartbeatTime": "x" * 10**6}])
    told["metadata"]["labels"] = {f"{number:x}": "" for number in range(100_000)}
    told["spec"] = {"taints": [{"key": str(n), "effect": "NoExecute"} for n in range(10_000)]}
    seen = nodes.view(told)
    assert seen.size < 2**18
    assert len(seen.heard) < 100
    assert seen.labels["1"] == ""
    assert (seen.bare().name, seen.bare().ready, seen.bare().labels) == (seen.name, True, {})
    assert seen.bare().size < 1000


# --- certificate requests

SUBJECT = Subject("w1", ("192.0.2.21", "fd00::21"), "abc123")
TAKEN = reserved(
    builders.cluster(
        endpoint={"host": "api.shop.example", "extraSANs": ["198.51.100.7", "shop.example"]},
        status={"endpoint": "https://198.51.100.6:6443"},
    ),
    ["203.0.113.1", "meta-1"],
).with_hosts("an address of Machine shop-workers-w2", ["192.0.2.22"])
GOOD: dict[str, Any] = {
    "signer": certificates.SERVING,
    "asker": "system:node:w1",
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
    # With kubeadm's group the certificate of any node would be granted.
    assert pki.decode(made, "auth-extra-groups") == MACHINE_BOOTSTRAPPERS.encode()
    text = tokens.bootstrap_kubeconfig(ACCESS, token)
    assert pki.parse_kubeconfig(text).credentials == pki.Token(token)


def test_a_damaged_token_is_none() -> None:
    made = tokens.secret("abc123", "team-a/w1", NOW)
    made["data"] |= pki.encode({"expiration": "tomorrow"})
    assert tokens.usable(made, NOW) is None


# --- the way to a business cluster


def test_outside_of_pods_the_public_address_is_used_with_the_operators_own_rights() -> None:
    authority = pki.new_ca("shop", NOW)
    ours = Identity(authority.cert_pem, pki.issue(authority, pki.LeafSpec("ours"), NOW))
    public, internal = "https://192.0.2.10:31443", "https://shop-apiserver.team-a.svc:6443"
    outside = way(ours, public=public, internal=internal, inside=False)
    within = way(ours, public=public, internal=internal, inside=True)
    assert outside is not None
    assert within is not None
    assert (outside.access.server, within.access.server) == (public, internal)
    assert outside.digest != within.digest
    assert outside.access.key == ours.leaf.key_pem
    assert way(ours, public=None, internal=internal, inside=False) is None
    assert "PRIVATE KEY" not in repr(within)


# --- does it answer?


def test_one_lost_request_is_no_outage_and_silence_is() -> None:
    now, told = [100.0], []
    pulse = Pulse(lambda: now[0])
    pulse.changed = lambda: told.append(pulse.answers)
    pulse.observe("GET", 200)
    pulse.observe("GET", 0)
    assert pulse.answers is True
    now[0] += SILENCE
    assert pulse.silence == SILENCE
    pulse.observe("GET", 503)
    assert pulse.answers is False
    pulse.observe("GET", 403)  # Refused is answered.
    assert (pulse.answers, pulse.silence) == (True, 0.0)
    assert told == [False, True]


def test_a_question_that_is_refused_counts_and_a_refused_write_does_not() -> None:
    told: list[bool] = []
    pulse = Pulse(lambda: 0.0)
    pulse.changed = lambda: told.append(pulse.refused)
    pulse.observe("GET", 200)
    pulse.observe("PATCH", 403)  # By a webhook, for example.
    assert told == []
    pulse.observe("GET", 403)
    pulse.observe("GET", 403)
    assert (pulse.answers, pulse.refused, told) == (True, True, [True])
    pulse.observe("GET", 200)
    assert told == [True, False]


def test_an_api_that_never_answered_is_not_given_the_benefit_of_the_doubt() -> None:
    pulse = Pulse(lambda: 0.0)
    pulse.observe("GET", 0)
    assert pulse.answers is False


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
