"""Whether a host has joined its cluster, and what joining sends to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.unit.operators.machine.builders import NOW

from kok import pki
from kok.api.fields import Taint
from kok.operators.machine.remote import join
from kok.operators.machine.remote.join import ClusterEndpoint, Joining, JoinPlan
from kok.operators.machine.remote.survey import Identity

CA = pki.new_ca("shop", NOW)
ACCESS = ClusterEndpoint("https://192.0.2.10:31443", CA.trust_pem)


def certificate(ca: pki.CertificateAuthority = CA, node: str = "w1", days: int = 365) -> str:
    spec = pki.LeafSpec(f"system:node:{node}", ["system:nodes"], lifetime=timedelta(days=days))
    return pki.issue(ca, spec, NOW).cert_pem.decode()


MEMBER = Identity(
    certificate=certificate(), server=ACCESS.server, ca=ACCESS.ca_digest, kubelet="active"
)


def plan(identity: Identity, days: int = 1) -> JoinPlan | None:
    return join.plan(identity, ACCESS, "w1", NOW + timedelta(days=days))


def test_a_member_has_nothing_to_do() -> None:
    assert plan(MEMBER) is None


def test_a_bare_host_needs_a_token_and_has_nothing_to_forget() -> None:
    found = plan(Identity())
    assert found
    assert (found.token, found.forget) == (True, False)


def test_an_identity_that_is_no_longer_good_goes_first() -> None:
    other = pki.new_ca("shop", NOW)
    cases = {
        "the kubelet's certificate is not of this cluster": replace(
            MEMBER, certificate=certificate(other)
        ),
        "the kubelet's certificate expired": replace(MEMBER, certificate=certificate(days=1)),
        "the kubelet's certificate is for another node": replace(
            MEMBER, certificate=certificate(node="w2")
        ),
        "the kubelet talks to another address than the cluster's": replace(
            MEMBER, server="https://192.0.2.99:6443"
        ),
        "the kubelet's certificate cannot be read": replace(MEMBER, certificate="rubbish"),
    }
    for why, identity in cases.items():
        found = plan(identity, days=2)
        # What comes to all nodes of a cluster at once comes in stages.
        of_all = "of this cluster" in why or "another address" in why
        assert found == JoinPlan(why, token=True, forget=True, staged=of_all)


def test_a_changed_ca_bundle_needs_no_new_identity() -> None:
    bundle = ClusterEndpoint(ACCESS.server, CA.trust_pem + pki.new_ca("next", NOW).cert_pem)
    found = join.plan(MEMBER, bundle, "w1", NOW)
    assert found
    assert (found.token, found.forget) == (False, False)


def test_a_stopped_kubelet_is_started_and_one_that_tries_is_left_alone() -> None:
    assert plan(replace(MEMBER, kubelet="inactive"))
    assert plan(replace(MEMBER, kubelet="activating")) is None


def test_the_script_checks_the_way_to_the_api_before_it_starts_anything() -> None:
    todo = JoinPlan("because", token=True, forget=True)
    taints = (Taint(key="dedicated", value="shop", effect="NoSchedule"),)
    text = join.script(Joining("uid-1", todo, ACCESS, taints, "the kubeconfig"))
    steps = [
        text.index(step)
        for step in ("\nowned\n", "\nanswers ", "\nforget_identity\n", "\nstart_kubelet\n")
    ]
    assert steps == sorted(steps)
    assert "KOK_API=https://192.0.2.10:31443/livez" in text
    assert "KOK_FORGET='/etc/kubernetes/kubelet.conf /var/lib/kubelet/pki'" in text
    # Whatever is secret is in base64 on standard input, in a file for root alone.
    assert "put /etc/kubernetes/bootstrap-kubelet.conf 0600" in text
    assert "the kubeconfig" not in text
    no_token = join.script(Joining("uid-1", JoinPlan("x", token=False), ACCESS))
    assert "bootstrap-kubelet.conf 0600" not in no_token
    assert "\nforget_identity\n" not in no_token
