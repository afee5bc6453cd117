"""The CRDs may not import the data file, so what they say of versions is held to it here."""

from __future__ import annotations

import re

import yaml

from kok.api.cluster.cluster import Cluster
from kok.api.crd import crd
from kok.api.etcd.etcdcluster import EtcdCluster, EtcdClusterSpec
from kok.api.versionrules import KNOWN_MINORS
from kok.versions import default_etcd, etcd_minors, kubernetes_minors, supported


def test_the_api_knows_the_same_kubernetes_minors():
    assert [(1, minor) for minor in KNOWN_MINORS] == kubernetes_minors()
    assert supported() in yaml.safe_dump(crd(Cluster), width=10**6)


def test_the_api_knows_the_same_etcd_minors():
    for kind in (Cluster, EtcdCluster):
        text = yaml.safe_dump(crd(kind), width=10**6)
        patterns = set(re.findall(r"\^3(?:\[\.\]|\\+\.)\[(\d+)\]", text))
        assert patterns == {"".join(str(minor.minor) for minor in etcd_minors())}


def test_an_etcd_of_its_own_has_the_same_default_version():
    assert EtcdClusterSpec().version == str(default_etcd(f"{kubernetes_minors()[-1]}.0"))
