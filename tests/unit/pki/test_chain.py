"""Intermediate CAs: who issued them, what is served, and who is trusted for what."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.unit.pki.chains import chain

from kok import pki
from kok.kube.http.access import by_certificate, ssl_context

NOW = datetime.now(UTC)
ROOT, POLICY, SIGNER = chain("root", "policy", "signer", now=NOW)
STRANGER = pki.new_ca("root", NOW)
WHOLE = replace(SIGNER, chain=POLICY.cert_pem + ROOT.cert_pem)


def test_issuers_are_found_in_any_order_and_strangers_are_not() -> None:
    others = STRANGER.cert_pem + ROOT.cert_pem + SIGNER.cert_pem + POLICY.cert_pem
    assert pki.chain_of(SIGNER.cert_pem, others) == POLICY.cert_pem + ROOT.cert_pem
    assert pki.chain_of(ROOT.cert_pem, others) == b""
    assert pki.chain_of(SIGNER.cert_pem, ROOT.cert_pem) == b""
    assert pki.chain_of(SIGNER.cert_pem, b"") == b""


def test_what_judges_clients_is_the_signer_alone() -> None:
    assert WHOLE.trust_pem == SIGNER.cert_pem
    assert WHOLE.anchors_pem == SIGNER.cert_pem + POLICY.cert_pem + ROOT.cert_pem
    assert WHOLE.served_pem == SIGNER.cert_pem + POLICY.cert_pem
    assert WHOLE.complete
    assert not replace(SIGNER, chain=POLICY.cert_pem).complete
    own = pki.new_ca("own", NOW)
    assert (own.anchors_pem, own.served_pem, own.complete) == (own.cert_pem, b"", True)


def agree(client: ssl.SSLContext, leaf: pki.Leaf, sent: bytes) -> None:
    """A handshake in memory; raises what the client objects to."""
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(leaf.cert_pem + sent + leaf.key_pem)
        file.flush()
        listening.load_cert_chain(file.name)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(down, up, server_hostname="api.example")
    answering = listening.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for side in (asking, answering):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.fixture(scope="module")
def leaf() -> pki.Leaf:
    """What an API server shows."""
    spec = pki.LeafSpec("api", dns_names=["api.example"], usages=pki.Usage.SERVER)
    return pki.issue(WHOLE, spec, NOW)


def strict(bundle: bytes) -> ssl.SSLContext:
    """OpenSSL as strict as it can be, and without trust in anything but roots."""
    context = ssl.create_default_context(cadata=bundle.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def test_a_strict_client_trusts_the_api_by_the_bundle_of_its_kubeconfig(leaf: pki.Leaf) -> None:
    agree(strict(WHOLE.anchors_pem), leaf, WHOLE.served_pem)


def test_a_client_that_knows_the_root_alone_is_shown_the_way_to_it(leaf: pki.Leaf) -> None:
    agree(strict(ROOT.cert_pem), leaf, WHOLE.served_pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        agree(strict(ROOT.cert_pem), leaf, b"")


def test_operators_trust_an_intermediate_ca_by_itself(leaf: pki.Leaf) -> None:
    ours = pki.issue(WHOLE, pki.LeafSpec("kok:cluster-operator"), NOW)
    access = by_certificate("https://x", SIGNER.cert_pem, ours.cert_pem, ours.key_pem)
    agree(ssl_context(access), leaf, b"")
