"""Whatever somebody writes into a Secret, it decides neither where we go nor who we are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kok import pki
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube.http.access import Access, AccessError, ssl_context
from kok.kube.objects.ownership import owned
from kok.pki import CA_CRT, TLS_CRT, TLS_KEY
from kok.workload.identity import MOST, Untrusted, identity_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
AUTHORITY = pki.new_ca("shop-ca", NOW)
LEAF = pki.issue(AUTHORITY, pki.LeafSpec("kok:machine-operator"), NOW)
STRANGER = pki.new_ca("shop-ca", NOW)
CLUSTER = Cluster.parse(
    {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": "shop", "namespace": "team-a", "uid": "uid-1"},
        "spec": {"version": "1.37.1"},
        "status": {"caFingerprints": {"shop-ca": pki.fingerprint(AUTHORITY.cert_pem)}},
    }
)


def secret(**data: bytes) -> Manifest:
    """The Secret as the cluster operator writes it, but for some entries."""
    whole = {CA_CRT: AUTHORITY.cert_pem, TLS_CRT: LEAF.cert_pem, TLS_KEY: LEAF.key_pem, **data}
    made = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "shop-operator-machine"},
        "type": pki.TLS_SECRET_TYPE,
        "data": pki.encode({key: value for key, value in whole.items() if value}),
    }
    return owned(made, CLUSTER)


def test_an_identity_is_what_was_issued_and_goes_where_it_is_told() -> None:
    found = identity_of(secret(), CLUSTER)
    access = found.at("https://192.0.2.10:31443")
    assert (access.server, access.ca) == ("https://192.0.2.10:31443", AUTHORITY.cert_pem)
    assert (access.certificate, access.key) == (LEAF.cert_pem, LEAF.key_pem)
    assert (access.token, access.token_file, access.renew, access.proxy) == (None,) * 4
    assert not access.insecure
    assert "PRIVATE KEY" not in repr(found)


def test_of_a_bundle_only_the_recorded_ca_is_trusted() -> None:
    both = secret(**{CA_CRT: STRANGER.cert_pem + AUTHORITY.cert_pem})
    assert identity_of(both, CLUSTER).ca == AUTHORITY.cert_pem


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({CA_CRT: STRANGER.cert_pem}, "ca.crt holds another CA than the recorded one of Cluster"),
        ({CA_CRT: b"/var/run/secrets/ca.crt"}, "not a PEM certificate"),
        ({CA_CRT: b""}, "has no ca.crt"),
        ({TLS_KEY: b""}, "has no tls.key"),
        ({TLS_CRT: b"x" * (MOST + 1)}, f"tls.crt of .* has {MOST + 1} bytes; at most {MOST}"),
    ],
)
def test_what_is_not_as_it_was_issued_is_refused(data: dict[str, bytes], sentence: str) -> None:
    with pytest.raises(Untrusted, match=sentence) as caught:
        identity_of(secret(**data), CLUSTER)
    assert "Secret team-a/shop-operator-machine" in str(caught.value)


@pytest.mark.parametrize("owners", [[], [{"kind": "Cluster", "uid": "uid-2", "controller": True}]])
def test_a_secret_that_is_not_the_clusters_own_child_is_refused(owners: list[Any]) -> None:
    foreign = secret()
    foreign["metadata"] = {**foreign["metadata"], "ownerReferences": owners}
    with pytest.raises(Untrusted, match="does not belong to Cluster team-a/shop; delete it"):
        identity_of(foreign, CLUSTER)


def test_nothing_is_trusted_before_a_ca_is_recorded() -> None:
    young = Cluster.parse({**CLUSTER.manifest(), "status": {}})
    with pytest.raises(Untrusted, match="the CA of Cluster team-a/shop is not recorded yet"):
        identity_of(secret(), young)


@pytest.mark.parametrize("server", ["http://192.0.2.10", "/var/run/secrets", "unix:///run/x"])
def test_no_address_but_https_is_asked(server: str) -> None:
    with pytest.raises(AccessError, match="is no https:// address"):
        identity_of(secret(), CLUSTER).at(server)


def test_a_path_in_place_of_a_certificate_is_no_path() -> None:
    token = b"/var/run/secrets/kubernetes.io/serviceaccount/token"
    identity = identity_of(secret(**{TLS_CRT: token, TLS_KEY: token}), CLUSTER)
    with pytest.raises(AccessError, match="https://x: not a PEM certificate"):
        identity.at("https://x")
    access = Access("https://x", identity.ca, identity.leaf.cert_pem, identity.leaf.key_pem)
    assert access.token_file is None
    with pytest.raises(AccessError, match="certificates for https://x are unusable"):
        ssl_context(access)
