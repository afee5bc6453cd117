"""What a version of Kubernetes or etcd brings with it."""

from __future__ import annotations

import pytest

from kok.versions import (
    UnknownVersion,
    default_etcd,
    etcd,
    etcd_minors,
    image,
    kubernetes,
    kubernetes_minors,
    supported,
    supported_etcd,
)
from kok.versions.releases import data


def test_known_versions_as_sentences_say_them():
    assert supported() == "this release knows 1.34 to 1.37"
    assert supported(patches=True) == (
        "this release knows 1.34 to 1.37 (1.34.4, 1.35.4, 1.36.3, 1.36.4, 1.37.0, 1.37.1)"
    )
    assert supported_etcd() == "this release knows etcd 3.5 to 3.7"
    assert supported_etcd(patches=True) == (
        "this release knows etcd 3.5 to 3.7 (3.5.21, 3.6.8, 3.6.10, 3.7.0, 3.7.1, 3.7.2, 3.7.3)"
    )


def test_a_new_patch_level_is_usable_at_once():
    new = kubernetes("1.36.99")
    assert not new.listed
    assert kubernetes("1.36.4").listed
    assert new.image("kube-apiserver") == "registry.k8s.io/kube-apiserver:v1.36.99"
    assert new.facts == kubernetes("1.36.4").facts
    assert etcd("3.6.99").image() == "registry.k8s.io/etcd:3.6.99-0"


@pytest.mark.parametrize("version", ["1.33.12", "1.38.0", "2.36.0"])
def test_an_unknown_minor_is_refused(version):
    with pytest.raises(UnknownVersion) as found:
        kubernetes(version)
    assert str(found.value) == f"{version} is not supported; this release knows 1.34 to 1.37"


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("3.4.30", "etcd 3.4.30 is not supported; this release knows etcd 3.5 to 3.7"),
        ("3.8.0", "etcd 3.8.0 is not supported; this release knows etcd 3.5 to 3.7"),
        ("3.5.10", "etcd 3.5.10 is too old; write 3.5.11 or a later patch level"),
        ("3.6", "'3.6' is not a version; write three numbers such as 3.6.10"),
    ],
)
def test_an_unusable_etcd_is_refused(version, sentence):
    with pytest.raises(UnknownVersion) as found:
        etcd(version)
    assert str(found.value) == sentence


IMAGES = {
    "kube-apiserver": "registry.k8s.io/kube-apiserver:v1.37.1",
    "kube-controller-manager": "registry.k8s.io/kube-controller-manager:v1.37.1",
    "kube-scheduler": "registry.k8s.io/kube-scheduler:v1.37.1",
    "kube-proxy": "registry.k8s.io/kube-proxy:v1.37.1",
    "coredns": "registry.k8s.io/coredns/coredns:v1.14.7",
    "pause": "registry.k8s.io/pause:3.10.1",
    "flannel": "ghcr.io/flannel-io/flannel:v0.26.7",
    "flannel-cni-plugin": "ghcr.io/flannel-io/flannel-cni-plugin:v1.6.2-flannel1",
    "konnectivity-server": "registry.k8s.io/kas-network-proxy/proxy-server:v0.34.0",
    "konnectivity-agent": "registry.k8s.io/kas-network-proxy/proxy-agent:v0.34.0",
    "nvidia-device-plugin": "nvcr.io/nvidia/k8s-device-plugin:v0.17.4",
    "metrics-server": "registry.k8s.io/metrics-server/metrics-server:v0.9.0",
    "local-path": "docker.io/rancher/local-path-provisioner:v0.0.30",
    "traefik": "docker.io/library/traefik:v3.7.13",
    "kube-network-policies": "registry.k8s.io/networking/kube-network-policies:v0.8.0",
}


def test_images_of_a_cluster():
    release = kubernetes("1.37.1")
    assert {component: release.image(component) for component in IMAGES} == IMAGES
    mirrored = {
        component: release.image(component, "mirror.example:5000/k8s") for component in IMAGES
    }
    assert mirrored == {
        component: f"mirror.example:5000/k8s/{reference.partition('/')[2]}"
        for component, reference in IMAGES.items()
    }
    with pytest.raises(KeyError):
        release.image("registry")


@pytest.mark.parametrize(
    ("registry", "repository", "reference"),
    [
        ("", "etcd", "registry.k8s.io/etcd:1"),
        ("", "coredns/coredns", "registry.k8s.io/coredns/coredns:1"),
        ("", "localhost/x", "localhost/x:1"),
        ("", "example:5000/x", "example:5000/x:1"),
        ("m.example/", "docker.io/library/x", "m.example/library/x:1"),
    ],
)
def test_image_references(registry, repository, reference):
    assert image(registry, repository, "1") == reference


def test_one_default_etcd_that_every_minor_accepts():
    for minor in kubernetes_minors():
        facts = kubernetes(f"{minor}.0").facts
        assert default_etcd(f"{minor}.0") == facts.etcd.default == (3, 6, 10)
        assert facts.etcd.default >= facts.etcd.minimum
        assert etcd(facts.etcd.default).listed
        assert etcd(facts.etcd.kubeadm).facts


def test_etcd_is_asked_for_the_same_in_the_words_of_each_minor():
    settings = {
        "watch-progress-notify-interval": "5s",
        "initial-corrupt-check": "true",
        "compact-hash-check": "true",
    }
    modern = [
        "--watch-progress-notify-interval=5s",
        "--feature-gates=CompactHashCheck=true,InitialCorruptCheck=true",
    ]
    assert etcd("3.6.10").arguments(settings) == modern
    assert etcd("3.7.3").arguments(settings) == modern
    assert etcd("3.5.21").arguments(settings) == [
        "--experimental-compact-hash-check-enabled=true",
        "--experimental-initial-corrupt-check=true",
        "--experimental-watch-progress-notify-interval=5s",
    ]
    assert etcd("3.6.10").arguments({}) == []


def test_every_etcd_minor_knows_the_same_settings():
    known = [set(facts.settings) for facts in data().etcd.values()]
    assert all(settings == known[0] for settings in known)


def test_admission_plugins_follow_the_minors():
    def came(old: str, new: str) -> set[str]:
        return kubernetes(new).default_admission_plugins - kubernetes(old).default_admission_plugins

    assert came("1.34.4", "1.35.4") == {"NodeDeclaredFeatureValidator"}
    assert came("1.36.4", "1.37.1") == set()
    assert came("1.37.1", "1.36.4") == {"JobValidation", "PodGroupWorkloadExists"}
    for minor in kubernetes_minors():
        release = kubernetes(f"{minor}.0")
        assert "NodeRestriction" in release.admission_plugins - release.default_admission_plugins
        assert {"ServiceAccount", "PodSecurity"} <= release.default_admission_plugins


def test_the_data_file_is_consistent():
    for text, facts in data().kubernetes.items():
        assert facts.patches, text
        assert {str(version.line) for version in facts.patches} == {text}
        for changes in (facts.feature_gates, facts.admission_plugins, *facts.flags.values()):
            assert not set(changes.added) & set(changes.removed)
            assert list(changes.added) == sorted(set(changes.added))
            assert list(changes.removed) == sorted(set(changes.removed))
        for gates in (facts.locked_gates.enabled, facts.locked_gates.disabled):
            assert list(gates) == sorted(set(gates))
        went = [(api.group, api.version) for api in facts.removed_apis]
        assert went == sorted(set(went))
    for text, known in data().etcd.items():
        assert {str(version.line) for version in known.patches} == {text}
        assert all(version >= known.minimum for version in known.patches)
    for minors in (kubernetes_minors(), etcd_minors()):
        assert [m.minor for m in minors] == list(range(minors[0].minor, minors[-1].minor + 1))
