"""What may follow what, and what a user is told when it may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kok.versions import (
    UnknownVersion,
    check_etcd_upgrade,
    check_feature_gate,
    check_flag,
    check_skew,
    check_upgrade,
    next_step,
    parse,
    removed_apis,
)

known = st.builds("1.{}.{}".format, st.integers(34, 37), st.integers(0, 30))


@pytest.mark.parametrize(
    ("current", "target"),
    [
        ("1.36.4", "1.36.4"),
        ("1.36.4", "1.36.5"),
        ("1.36.4", "1.37.0"),
        ("1.33.1", "1.34.4"),  # from a minor that an older release ran
    ],
)
def test_steps_that_are_possible(current, target):
    assert check_upgrade(current, target) is None


@pytest.mark.parametrize(
    ("current", "target", "step"),
    [
        ("1.37.0", "1.37.1", "1.37.1"),
        ("1.36.3", "1.37.1", "1.37.1"),
        ("1.35.4", "1.37.1", "1.36.4"),
        ("1.34.4", "1.37.1", "1.35.4"),
        ("1.37.1", "1.36.4", "1.36.4"),  # whether that may be is not asked here
    ],
)
def test_the_way_to_a_version_skips_no_minor(current, target, step):
    assert next_step(current, target) == step


@pytest.mark.parametrize(
    ("current", "target", "sentence"),
    [
        ("1.35.4", "1.37.1", "1.35.4 -> 1.37.1 skips 1.36; upgrade to 1.36.x first"),
        ("1.34.4", "1.37.1", "1.34.4 -> 1.37.1 skips 1.35; upgrade to 1.35.x first"),
        (
            "1.36.4",
            "1.36.3",
            "1.36.4 -> 1.36.3 goes down, which Kubernetes does not support;"
            " write 1.36.4 or a later version",
        ),
        (
            "1.37.0",
            "1.36.4",
            "1.37.0 -> 1.36.4 goes down, which Kubernetes does not support;"
            " write 1.37.0 or a later version",
        ),
        ("1.37.1", "1.38.0", "1.38.0 is not supported; this release knows 1.34 to 1.37"),
        ("1.37.1", "v1.37.2", "v1.37.2 is not a version; write 1.37.2"),
    ],
)
def test_steps_that_are_not(current, target, sentence):
    assert check_upgrade(current, target) == sentence


@given(known, known)
def test_an_allowed_step_is_up_and_at_most_one_minor(current, target):
    old, new = parse(current), parse(target)
    allowed = old <= new and new.minor - old.minor <= 1
    assert (check_upgrade(current, target) is None) is allowed


@pytest.mark.parametrize(
    ("current", "target", "sentence"),
    [
        ("3.6.8", "3.6.10", None),
        ("3.6.11", "3.7.3", None),
        ("3.5.26", "3.6.10", None),
        (
            "3.5.21",
            "3.6.10",
            "3.5.21 -> 3.6.10 is not safe; upgrade every member to at least 3.5.26 first",
        ),
        (
            "3.6.10",
            "3.7.3",
            "3.6.10 -> 3.7.3 is not safe; upgrade every member to at least 3.6.11 first",
        ),
        ("3.5.26", "3.7.3", "3.5.26 -> 3.7.3 skips 3.6; upgrade etcd to 3.6.x first"),
        (
            "3.7.0",
            "3.6.10",
            "3.7.0 -> 3.6.10 goes down, which etcd does not support;"
            " write 3.7.0 or a later version",
        ),
    ],
)
def test_etcd_steps(current, target, sentence):
    assert check_etcd_upgrade(current, target) == sentence


@pytest.mark.parametrize(
    ("kubelet", "sentence"),
    [
        ("1.37.0", None),
        ("1.37.9", None),  # a later patch level than the API server's is no skew
        ("1.34.4", None),
        (
            "1.33.12",
            "kubelet 1.33.12 is too old for the control plane's 1.37.1; write 1.34 to 1.37",
        ),
        (
            "1.38.0",
            "kubelet 1.38.0 is newer than the control plane's 1.37.1;"
            " write 1.37.x or older, or upgrade the Cluster first",
        ),
        ("1.37", "'1.37' is not a version; write three numbers such as 1.37.1"),
    ],
)
def test_kubelets_under_1_37_1(kubelet, sentence):
    assert check_skew(kubelet, "1.37.1") == sentence


@pytest.mark.parametrize(
    ("component", "flag", "version", "sentence"),
    [
        ("kube-controller-manager", "concurrent-service-syncs", "1.36.4", None),
        (
            "kube-controller-manager",
            "concurrent-service-syncs",
            "1.37.1",
            "kube-controller-manager --concurrent-service-syncs was removed in 1.37; leave it out",
        ),
        (
            "kube-apiserver",
            "tls-curve-preferences",
            "1.35.4",
            "kube-apiserver --tls-curve-preferences comes only with 1.36;"
            " leave it out or upgrade first",
        ),
        ("kube-apiserver", "tls-curve-preferences", "1.36.0", None),
        ("kube-apiserver", "event-ttl", "1.34.4", None),
        ("kube-proxy", "concurrent-service-syncs", "1.37.1", None),
        (
            "kubelet",
            "pod-infra-container-image",
            "1.37.1",
            "kubelet --pod-infra-container-image was removed in 1.35; leave it out",
        ),
    ],
)
def test_flags(component, flag, version, sentence):
    assert check_flag(component, flag, version) == sentence


@pytest.mark.parametrize(
    ("gate", "version", "sentence"),
    [
        # in 1.36 alone
        (
            "WorkloadAwarePreemption",
            "1.35.4",
            "feature gate WorkloadAwarePreemption comes only with 1.36;"
            " leave it out or upgrade first",
        ),
        ("WorkloadAwarePreemption", "1.36.4", None),
        (
            "WorkloadAwarePreemption",
            "1.37.1",
            "feature gate WorkloadAwarePreemption was removed in 1.37; leave it out",
        ),
        ("StructuredAuthenticationConfiguration", "1.36.4", None),
        (
            "StructuredAuthenticationConfiguration",
            "1.37.1",
            "feature gate StructuredAuthenticationConfiguration was removed in 1.37; leave it out",
        ),
    ],
)
def test_feature_gates(gate, version, sentence):
    assert check_feature_gate(gate, version) == sentence


@pytest.mark.parametrize(
    ("gate", "value", "version", "sentence"),
    [
        ("DRAExtendedResource", "false", "1.36.4", None),
        (
            "DRAExtendedResource",
            "false",
            "1.37.1",
            "feature gate DRAExtendedResource is locked to true since 1.37; leave it out",
        ),
        ("DRAExtendedResource", "true", "1.37.1", None),
        ("DRAExtendedResource", "perhaps", "1.37.1", None),  # Go says it better
        (
            "GitRepoVolumeDriver",
            "T",
            "1.37.1",
            "feature gate GitRepoVolumeDriver is locked to false since 1.36; leave it out",
        ),
        ("GitRepoVolumeDriver", "0", "1.37.1", None),
        # locked in 1.34, and gone since
        (
            "SidecarContainers",
            "false",
            "1.37.1",
            "feature gate SidecarContainers was removed in 1.37; leave it out",
        ),
    ],
)
def test_locked_feature_gates(gate, value, version, sentence):
    assert check_feature_gate(gate, version, value) == sentence


@pytest.mark.parametrize(
    ("running", "target", "gone"),
    [
        ("1.37.0", "1.37.1", set()),
        ("1.35.4", "1.36.4", {"scheduling.k8s.io/v1alpha1"}),
        (
            "1.35.4",
            "1.37.1",
            {
                "certificates.k8s.io/v1alpha1",
                "networking.k8s.io/v1beta1",
                "scheduling.k8s.io/v1alpha1",
                "scheduling.k8s.io/v1alpha2",
                "storage.k8s.io/v1beta1",
            },
        ),
    ],
)
def test_apis_that_go_on_the_way(running, target, gone):
    assert {api.api_version for api in removed_apis(running, target)} == gone


def test_flags_of_an_unknown_version_are_not_judged():
    with pytest.raises(UnknownVersion):
        check_flag("kubelet", "x", "1.38.0")
