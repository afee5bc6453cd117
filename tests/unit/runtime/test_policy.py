"""What an administrator forbids, and with which words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kok.api.fields import Toleration
from kok.runtime import policy
from kok.runtime.policy import Policies


def rules(**given: Any) -> Policies:
    return Policies(**given)


def test_without_a_policy_everything_but_metadata_and_loopback_is_allowed() -> None:
    free = rules()
    assert policy.wrong_image(free, "evil.example/kube-apiserver:v1", "f") is None
    assert policy.wrong_selector(free, {"a": "b"}, "f") is None
    assert policy.wrong_toleration(free, [Toleration(operator="Exists")], "f") is None
    assert policy.wrong_ssh_address(free, "192.0.2.1", "f") is None
    assert policy.wrong_ssh_secret(free, {"metadata": {"name": "s"}}, "f") is None
    assert policy.wrong_address(free, "192.0.2.1", "f") is None
    for host in ("169.254.169.254", "127.0.0.1", "[::1]", "fe80::1%eth0", "fd00:ec2::254", "0"):
        assert policy.wrong_address(free, host, "spec.endpoint.host") is not None, host


def test_a_registry_is_allowed_with_its_whole_name_and_path() -> None:
    some = rules(allowed_registries="registry.k8s.io, mirror.example/k8s/")
    for fine in ("registry.k8s.io/etcd:3.6.10", "mirror.example/k8s/etcd:1"):
        assert policy.wrong_image(some, fine, "f") is None
    for wrong in ("registry.k8s.io.evil/etcd:1", "mirror.example/k8s-evil/etcd:1", "etcd:1"):
        assert policy.wrong_image(some, wrong, "f") is not None
    assert policy.wrong_image(some, "evil.example/etcd:1", "spec.images.registry") == (
        "spec.images.registry: image evil.example/etcd:1 is not allowed by policy of the "
        "administrator of the meta cluster; allowed registries are mirror.example/k8s/, "
        "registry.k8s.io"
    )


def test_an_empty_list_allows_nothing() -> None:
    none = rules(allowed_registries="", allowed_tolerations="", allowed_node_labels="")
    assert (policy.wrong_image(none, "a/b", "f") or "").endswith("none is")
    assert policy.wrong_selector(none, {"a": "b"}, "f") is not None
    assert policy.wrong_selector(none, {}, "f") is None
    assert policy.wrong_toleration(none, [], "f") is None


def test_labels_are_allowed_with_any_value_or_with_one() -> None:
    some = rules(allowed_node_labels="pool=tenants,zone")
    assert policy.wrong_selector(some, {"pool": "tenants", "zone": "b"}, "f") is None
    assert "pool=system" in (policy.wrong_selector(some, {"pool": "system"}, "f") or "")
    assert policy.wrong_selector(some, {"kubernetes.io/hostname": "meta-1"}, "f") is not None


def test_a_toleration_of_every_taint_is_more_than_one_of_some() -> None:
    some = rules(allowed_tolerations="dedicated")
    assert policy.wrong_toleration(some, [Toleration(key="dedicated")], "f") is None
    for wrong in (Toleration(operator="Exists"), Toleration(key="node-role.kubernetes.io/x")):
        assert policy.wrong_toleration(some, [wrong], "f") is not None


def test_ranges_of_hosts() -> None:
    some = rules(allowed_ssh_ranges="198.51.100.0/24,fd00::/8")
    for fine in ("198.51.100.7", "fd00::1", "name.example"):
        assert policy.wrong_ssh_address(some, fine, "f") is None
    for wrong in ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"):
        assert policy.wrong_ssh_address(some, wrong, "spec.address") is not None


def test_secrets_for_ssh_may_have_to_be_labelled() -> None:
    strict = rules(ssh_secrets_labelled=True)
    secret: dict[str, Any] = {"metadata": {"name": "s", "labels": {}}}
    assert "kok.dev/ssh-credentials" in (policy.wrong_ssh_secret(strict, secret, "f") or "")
    secret["metadata"]["labels"] = {"kok.dev/ssh-credentials": "true"}
    assert policy.wrong_ssh_secret(strict, secret, "f") is None


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "https://[fd00:ec2::254]/"])
def test_a_url_is_judged_by_its_host(url: str) -> None:
    assert policy.wrong_url(rules(), url, "f") is not None
    assert policy.wrong_url(rules(), "https://s3.example", "f") is None


def test_a_setting_that_is_no_range_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError, match="is no address range"):
        rules(forbidden_ranges="169.254.0.0/16,metadata")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOK_FORBIDDEN_RANGES", "10.0.0.0/8, 192.0.2.0/24")
    monkeypatch.setenv("KOK_NETWORK_POLICIES", "true")
    monkeypatch.setenv("KOK_SCRAPERS", '[{"podSelector": {}}]')
    found = Policies()
    assert found.forbidden_ranges == ("10.0.0.0/8", "192.0.2.0/24")
    assert found.isolates()
    assert found.scrapers == ({"podSelector": {}},)
