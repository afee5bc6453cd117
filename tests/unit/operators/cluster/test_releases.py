"""Knowledge of releases: who is believed, and what stays when a document cannot be used."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kok.api.meta import Manifest
from kok.operators.cluster.releases import DOCUMENT, SIGNATURE, ReleaseSource
from kok.versions.knowledge import KnowledgeError

TEXT = "format: 1\nissued: 2026-11-30T08:00:00Z\n"
KEY = Ed25519PrivateKey.generate()
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()


def signed(text: str, key: Ed25519PrivateKey = KEY) -> str:
    return base64.b64encode(key.sign(text.encode())).decode()


def a_config_map(**data: str) -> Manifest:
    return {"metadata": {"name": "kok-releases", "namespace": "kok-system"}, "data": data}


def test_without_a_key_the_config_map_is_believed() -> None:
    source = ReleaseSource()
    source.take(a_config_map(**{DOCUMENT: TEXT}))
    assert source.now().releases.document is not None
    assert source.now().problem is None


def test_with_a_key_only_what_it_signed_is_believed() -> None:
    source = ReleaseSource(key=PUBLIC)
    assert source.read(TEXT.encode(), signed(TEXT)).document is not None
    other = Ed25519PrivateKey.generate()
    for signature in ("", "no base64!", signed(TEXT, other), signed(TEXT + " ")):
        with pytest.raises(KnowledgeError, match="its signature does not fit"):
            source.read(TEXT.encode(), signature)


def test_what_cannot_be_used_leaves_what_was_known_and_is_told() -> None:
    source = ReleaseSource(key=PUBLIC)
    source.take(a_config_map(**{DOCUMENT: TEXT, SIGNATURE: signed(TEXT)}))
    source.take(a_config_map(**{DOCUMENT: "garbage", SIGNATURE: signed("garbage")}))
    known = source.now()
    assert known.releases.document is not None
    assert known.problem is not None
    assert known.problem.startswith("ConfigMap kok-system/kok-releases, releases.yaml: ")


def test_one_that_is_emptied_takes_back_what_was_known() -> None:
    source = ReleaseSource()
    source.take(a_config_map(**{DOCUMENT: TEXT}))
    source.take(a_config_map())
    assert source.now().releases.document is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "https://example.org/r"}, "needs KOK_RELEASES_KEY"),
        ({"url": "http://example.org/r", "key": PUBLIC}, "https://"),
        ({"key": "c2hvcnQ="}, "no Ed25519 public key"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ReleaseSource(**settings)  # type: ignore[arg-type]
