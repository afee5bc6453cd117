"""The version rules of the API know the versions that the operators can run."""

from __future__ import annotations

from kok.api.versionrules import KNOWN_ETCD_MINORS, KNOWN_MINORS
from kok.versions import etcd_minors, kubernetes_minors


def test_the_api_and_the_version_table_know_the_same_minors() -> None:
    assert tuple(minor.minor for minor in kubernetes_minors()) == KNOWN_MINORS
    assert tuple(minor.minor for minor in etcd_minors()) == KNOWN_ETCD_MINORS
