"""What is written into a Secret comes out of it again."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kok.pki import (
    LeafSpec,
    PkiError,
    ca_of,
    ca_secret_data,
    decode,
    encode,
    issue,
    leaf_of,
    tls_secret_data,
)


@given(st.dictionaries(st.text(min_size=1), st.binary()))
def test_values_survive(values):
    manifest = json.loads(json.dumps({"data": encode(values)}))
    assert {key: decode(manifest, key) for key in values} == values


def test_a_leaf_and_what_it_trusts_survive(ca, other_ca, now):
    leaf = issue(ca, LeafSpec("x"), now)
    manifest = {"data": tls_secret_data(leaf, ca.cert_pem + other_ca.cert_pem)}
    assert leaf_of(manifest) == leaf
    assert decode(manifest, "ca.crt") == ca.cert_pem + other_ca.cert_pem
    assert list(manifest["data"]) == ["ca.crt", "tls.crt", "tls.key"]


def test_a_ca_survives(ca):
    found = ca_of({"data": ca_secret_data(ca)})
    assert found is not None
    assert (found.cert_pem, found.key_pem) == (ca.cert_pem, ca.key_pem)
    assert found.trust_pem == ca.trust_pem


@pytest.mark.parametrize("manifest", [None, {}, {"data": None}, {"data": {"tls.crt": "eA=="}}])
def test_what_is_missing_is_none(manifest):
    assert leaf_of(manifest) is None
    assert ca_of(manifest) is None
    assert decode(manifest, "ca.crt") is None


def test_what_is_not_base64_names_the_secret_and_not_its_content():
    manifest = {
        "metadata": {"namespace": "team-a", "name": "shop-ca"},
        "data": {"tls.crt": "*hush*", "tls.key": base64.b64encode(b"x").decode()},
    }
    with pytest.raises(PkiError) as found:
        leaf_of(manifest)
    assert str(found.value) == "Secret team-a/shop-ca: the value of tls.crt is not base64"
