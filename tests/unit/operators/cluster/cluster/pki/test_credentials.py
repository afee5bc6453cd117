"""Certificates and kubeconfigs: complete, kept while they are right, renewed in time."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml
from cryptography import x509
from tests.unit.operators.cluster.builders import NOW, a_cluster, applied, quick_pair
from tests.unit.pki.chains import chain

from kok import pki
from kok.api.meta import Manifest
from kok.operators.cluster.businesscluster.connections import leaf_in_kubeconfig
from kok.operators.cluster.cluster.pki.credentials import (
    Credentials,
    Issuer,
    ServingNames,
    encryption_configuration,
)
from kok.operators.cluster.cluster.pki.keys import KeyRing, Keys
from kok.operators.cluster.cluster.spec.resolved import resolve
from kok.operators.cluster.endpoint import Endpoint
from kok.runtime.controller.errors import Invalid

SERVED = ServingNames(("api.example",), ("192.0.2.10",))
PUBLIC = Endpoint("192.0.2.10", 31443)


@pytest.fixture
async def keys() -> Keys:
    return await KeyRing(a_cluster(), {}, NOW, quick_pair).settle()


def issue(
    keys: Keys,
    lives: dict[str, Manifest] | None = None,
    *,
    now: datetime = NOW,
    served: ServingNames = SERVED,
    endpoint: Endpoint | None = PUBLIC,
    **spec: Any,
) -> Credentials:
    resolved = resolve(a_cluster(**spec))
    return Issuer(resolved, keys, lives or {}, now).all(served, endpoint)


def by_name(made: Credentials) -> dict[str, Manifest]:
    return applied(a_cluster(), made.secrets)


def certificate(manifest: Manifest, key: str = "tls.crt") -> x509.Certificate:
    return x509.load_pem_x509_certificate(pki.decode(manifest, key) or b"")


async def test_everything_that_a_control_plane_needs_is_made(keys: Keys) -> None:
    made = by_name(issue(keys))
    assert {name: m["type"] for name, m in made.items()} == {
        "shop-apiserver-keys": "Opaque",
        "shop-apiserver-tls": "kubernetes.io/tls",
        "shop-ca": "kubernetes.io/tls",
        "shop-controller-manager": "kubernetes.io/tls",
        "shop-encryption": "Opaque",
        "shop-front-proxy-ca": "kubernetes.io/tls",
        "shop-front-proxy-client": "kubernetes.io/tls",
        "shop-kubeconfig": "Opaque",
        "shop-kubeconfig-internal": "Opaque",
        "shop-kubelet-client": "kubernetes.io/tls",
        "shop-operator-cluster": "kubernetes.io/tls",
        "shop-operator-machine": "kubernetes.io/tls",
        "shop-sa": "Opaque",
        "shop-scheduler": "kubernetes.io/tls",
    }
    assert set(made["shop-kubeconfig"]["data"]) == {"kubeconfig", "value"}


async def test_a_tunnel_has_one_certificate_that_agents_see_and_the_api_knows(keys: Keys) -> None:
    served = replace(SERVED, tunnel=("shop.example",))
    made = by_name(issue(keys, served=served, network={"tunnel": "Always"}))["shop-konnectivity"]
    found = certificate(made)
    assert found.subject.rfc4514_string() == "CN=system:konnectivity-server"
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["shop.example"]
    kubeconfig = yaml.safe_load(pki.decode(made, "kubeconfig") or b"")
    assert kubeconfig["clusters"][0]["cluster"]["server"] == (
        "https://shop-apiserver.team-a.svc:6443"
    )
    assert kubeconfig["users"][0]["user"] == {
        "client-certificate": "/etc/kubernetes/konnectivity/tls.crt",
        "client-key": "/etc/kubernetes/konnectivity/tls.key",
    }
    egress = json.loads(pki.decode(made, "egress.json") or b"")
    assert egress["kind"] == "EgressSelectorConfiguration"
    assert [one["name"] for one in egress["egressSelections"]] == ["cluster"]


async def test_the_certificate_of_a_tunnel_is_renewed_in_time(keys: Keys) -> None:
    served = replace(SERVED, tunnel=("shop.example",))
    spec = {"network": {"tunnel": "Always"}}
    before = by_name(issue(keys, served=served, **spec))
    kept = by_name(issue(keys, before, served=served, now=NOW + timedelta(days=300), **spec))
    later = by_name(issue(keys, before, served=served, now=NOW + timedelta(days=340), **spec))
    name = "shop-konnectivity"
    assert kept[name]["data"]["tls.crt"] == before[name]["data"]["tls.crt"]
    assert later[name]["data"]["tls.crt"] != before[name]["data"]["tls.crt"]


async def test_identities_are_those_that_kubernetes_knows(keys: Keys) -> None:
    made = by_name(issue(keys))
    subjects = {
        name: certificate(made[name]).subject.rfc4514_string()
        for name in (
            "shop-controller-manager",
            "shop-scheduler",
            "shop-kubelet-client",
            "shop-operator-cluster",
            "shop-operator-machine",
        )
    }
    assert subjects == {
        "shop-controller-manager": "CN=system:kube-controller-manager",
        "shop-scheduler": "CN=system:kube-scheduler",
        "shop-kubelet-client": "CN=kube-apiserver-kubelet-client",
        "shop-operator-cluster": "CN=kok:cluster-operator,O=kok:cluster-operators",
        "shop-operator-machine": "CN=kok:machine-operator,O=kok:machine-operators",
    }
    admin = pki.parse_kubeconfig(pki.decode(made["shop-kubeconfig"], "kubeconfig") or b"")
    assert isinstance(admin.credentials, pki.Leaf)
    info = pki.certificate_info(admin.credentials.cert_pem)
    assert info.subject == "CN=kubernetes-admin,O=kubeadm:cluster-admins"
    assert admin.server == "https://192.0.2.10:31443"
    inner = pki.parse_kubeconfig(pki.decode(made["shop-kubeconfig-internal"], "kubeconfig") or b"")
    assert inner.server == "https://shop-apiserver.team-a.svc:6443"


async def test_no_secret_holds_an_identity_that_nothing_can_take_rights_from(keys: Keys) -> None:
    for name, made in by_name(issue(keys)).items():
        leaf = pki.leaf_of(made) or leaf_in_kubeconfig(made)
        if leaf is not None:
            assert "system:masters" not in pki.certificate_info(leaf.cert_pem).subject, name


async def test_a_certificate_of_masters_from_before_is_exchanged(keys: Keys) -> None:
    lives = by_name(issue(keys))
    assert keys.ca is not None
    old = pki.issue(keys.ca, pki.LeafSpec("kok-operators", organizations=["system:masters"]), NOW)
    text = pki.kubeconfig("shop", "https://x", keys.ca.cert_pem, "kok-operators", old)
    lives["shop-kubeconfig-internal"]["data"] = pki.encode({"kubeconfig": text})
    made = issue(keys, lives)
    leaf = leaf_in_kubeconfig(by_name(made)["shop-kubeconfig-internal"])
    assert leaf is not None
    assert (
        pki.certificate_info(leaf.cert_pem).subject
        == "CN=kubernetes-admin,O=kubeadm:cluster-admins"
    )
    assert ["shop-kubeconfig-internal" in text for text in made.renewed] == [True]


async def test_kubeconfigs_of_all_clusters_can_be_merged(keys: Keys) -> None:
    names: list[str] = []
    for namespace, cluster in (("team-a", "shop"), ("team-b", "shop"), ("team", "a-shop")):
        resolved = resolve(a_cluster(cluster).model_copy(deep=True))
        resolved.cluster.metadata.namespace = namespace
        for secret in Issuer(resolved, keys, {}, NOW).all(SERVED, PUBLIC).secrets:
            if text := pki.decode(secret, "kubeconfig"):
                document = yaml.safe_load(text)
                found = [document[kind][0]["name"] for kind in ("contexts", "clusters", "users")]
                if "kubeconfig" in secret["metadata"]["name"]:
                    assert len(set(found)) == 1
                    names.append(found[0])
    assert names == [
        "team-a/shop/internal",
        "team-a/shop",
        "team-b/shop/internal",
        "team-b/shop",
        "team/a-shop/internal",
        "team/a-shop",
    ]


async def test_names_in_a_kubeconfig_change_and_its_certificate_stays(keys: Keys) -> None:
    lives = by_name(issue(keys))
    leaf = leaf_in_kubeconfig(lives["shop-kubeconfig"])
    assert keys.ca is not None
    assert leaf is not None
    old = pki.kubeconfig("shop", PUBLIC.url, keys.ca.cert_pem, "kubernetes-admin", leaf)
    lives["shop-kubeconfig"]["data"] = pki.encode({"kubeconfig": old, "value": old})
    made = issue(keys, lives)
    assert made.renewed == []
    found = pki.parse_kubeconfig(pki.decode(by_name(made)["shop-kubeconfig"], "kubeconfig") or b"")
    assert (found.user, found.credentials) == ("team-a/shop", leaf)


async def test_a_second_pass_makes_the_very_same(keys: Keys) -> None:
    first = issue(keys)
    second = issue(keys, by_name(first), now=NOW + timedelta(days=100))
    assert by_name(second) == by_name(first)
    assert second.renewed == []
    assert second.certificates == first.certificates


async def test_what_ends_soon_is_renewed_and_nothing_else(keys: Keys) -> None:
    first = issue(keys)
    later = NOW + timedelta(days=340)
    second = issue(keys, by_name(first), now=later)
    for status in second.certificates:
        assert status.not_after > later + timedelta(days=300), status.name
    assert len(second.renewed) == 9
    assert by_name(second)["shop-ca"] == by_name(first)["shop-ca"]


async def test_a_kubeconfig_is_renewed_with_its_certificate(keys: Keys) -> None:
    first = by_name(issue(keys))
    second = by_name(issue(keys, first, now=NOW + timedelta(days=340)))
    assert second["shop-kubeconfig"] != first["shop-kubeconfig"]
    assert (
        second["shop-kubeconfig"]["data"]["value"]
        == (second["shop-kubeconfig"]["data"]["kubeconfig"])
    )


async def test_a_new_address_changes_the_servers_certificate_alone(keys: Keys) -> None:
    first = by_name(issue(keys))
    served = ServingNames(SERVED.dns, (*SERVED.addresses, "192.0.2.11"))
    made = issue(keys, first, served=served)
    changed = {name for name, m in by_name(made).items() if m != first[name]}
    assert changed == {"shop-apiserver-tls"}
    assert "lacks 192.0.2.11" in made.renewed[0]


async def test_a_new_endpoint_keeps_the_admins_certificate(keys: Keys) -> None:
    first = by_name(issue(keys))
    second = by_name(issue(keys, first, endpoint=Endpoint("198.51.100.7", 443)))
    before, after = (
        pki.parse_kubeconfig(pki.decode(m["shop-kubeconfig"], "kubeconfig") or b"")
        for m in (first, second)
    )
    assert after.server == "https://198.51.100.7:443"
    assert after.credentials == before.credentials


async def test_without_an_endpoint_there_is_no_admin_kubeconfig_yet(keys: Keys) -> None:
    assert "shop-kubeconfig" not in by_name(issue(keys, endpoint=None))


@pytest.mark.parametrize("damage", [{"tls.key": "eHg="}, {"tls.crt": "eHg="}])
async def test_a_damaged_leaf_is_made_anew(keys: Keys, damage: dict[str, str]) -> None:
    lives = by_name(issue(keys))
    lives["shop-scheduler"]["data"] |= damage
    made = by_name(issue(keys, lives))
    leaf = pki.leaf_of(made["shop-scheduler"])
    assert leaf is not None
    assert keys.ca is not None
    spec = pki.LeafSpec("system:kube-scheduler")
    assert pki.must_renew(leaf, spec, keys.ca, NOW, timedelta(days=30)) is None


async def test_a_kubeconfig_that_was_scribbled_on_is_made_anew(keys: Keys) -> None:
    lives = by_name(issue(keys))
    lives["shop-kubeconfig"]["data"]["kubeconfig"] = pki.encode({"x": "nonsense"})["x"]
    made = by_name(issue(keys, lives))
    pki.parse_kubeconfig(pki.decode(made["shop-kubeconfig"], "kubeconfig") or b"")


async def test_with_a_refused_ca_nothing_is_signed_and_dates_still_show(keys: Keys) -> None:
    first = issue(keys)
    lives = by_name(first)
    refused = Keys(None, keys.front_proxy, keys.service_account, keys.encryption, (), {}, {})
    made = issue(refused, lives, now=NOW + timedelta(days=360))
    assert {m["metadata"]["name"] for m in made.secrets} == {
        "shop-apiserver-keys",
        "shop-front-proxy-client",
    }
    assert {c.name for c in made.certificates} == {c.name for c in first.certificates}


async def test_secrets_that_only_look_like_the_clusters_are_not_read(keys: Keys) -> None:
    lives = by_name(issue(keys))
    for number in range(30):
        hostile = {**lives["shop-scheduler"], "metadata": {"name": f"more-{number}"}}
        lives[f"more-{number}"] = hostile
    shown = {c.name for c in issue(keys, lives).certificates}
    assert "shop-scheduler" in shown
    assert not any(name.startswith("more-") for name in shown)


async def test_the_controller_manager_signs_with_a_copy_of_the_checked_ca(keys: Keys) -> None:
    made = by_name(issue(keys))["shop-controller-manager"]
    assert keys.ca is not None
    assert pki.decode(made, "ca.crt") == keys.ca.cert_pem
    assert pki.decode(made, "ca.key") == keys.ca.key_pem


async def test_of_an_intermediate_ca_everybody_gets_what_he_needs(keys: Keys) -> None:
    root, signer = chain("root", "signer", now=NOW)
    ca = replace(signer, chain=root.cert_pem)
    data = {**keys.data, "shop-ca": pki.ca_secret_data(ca)}
    brought = replace(keys, ca=ca, brought=frozenset({"shop-ca"}), data=data)
    made = issue(brought)
    found = by_name(made)
    assert "shop-ca" not in found, "what somebody brought is not written"
    served = pki.decode(found["shop-apiserver-tls"], "tls.crt") or b""
    assert pki.split(served)[1:] == [signer.cert_pem]
    for name in ("shop-apiserver-tls", "shop-controller-manager", "shop-operator-machine"):
        assert pki.decode(found[name], "ca.crt") == signer.cert_pem, "the root lets nobody in"
    roots = pki.decode(found["shop-controller-manager"], "roots.crt")
    assert roots == signer.cert_pem + root.cert_pem
    users = pki.parse_kubeconfig(pki.decode(found["shop-kubeconfig"], "kubeconfig") or b"")
    assert users.ca_pem == signer.cert_pem + root.cert_pem
    assert (made.incomplete, made.ending) == ([], [])
    assert "shop-ca" in {c.name for c in made.certificates}
    again = issue(brought, found, now=NOW + timedelta(days=1))
    assert by_name(again) == found


async def test_an_intermediate_ca_without_its_root_is_told(keys: Keys) -> None:
    _, signer = chain("root", "signer", now=NOW)
    made = issue(replace(keys, ca=signer))
    [text] = made.incomplete
    assert "Secret team-a/shop-ca holds an intermediate CA without its root" in text
    assert "roots.crt" not in by_name(made)["shop-controller-manager"]["data"]


async def test_an_issuer_that_ends_is_told_like_a_ca(keys: Keys) -> None:
    root, signer = chain("root", "signer", now=NOW - timedelta(days=3640))
    made = issue(replace(keys, ca=replace(signer, chain=root.cert_pem)))
    assert any(
        text.startswith("CN=root, an issuer of the CA in Secret team-a/shop-ca")
        for text in made.ending
    )


async def test_a_name_that_cannot_stand_in_a_certificate_is_refused(keys: Keys) -> None:
    with pytest.raises(Invalid, match="is not a DNS name"):
        issue(keys, served=ServingNames(("bad name",), ()))


async def test_a_ca_that_ends_soon_is_named_since_nothing_renews_it(keys: Keys) -> None:
    assert issue(keys).ending == []
    made = issue(keys, now=NOW + timedelta(days=3640))
    assert [text.partition(" ends on ")[0] for text in made.ending] == [
        "Secret team-a/shop-ca",
        "Secret team-a/shop-front-proxy-ca",
    ]
    assert "is not renewed by itself; put another CA into it before" in made.ending[0]


async def test_a_shorter_life_applies_at_once(keys: Keys) -> None:
    lives = by_name(issue(keys))
    made = issue(keys, lives, certificates={"leafDuration": "720h", "renewBefore": "240h"})
    ends = {c.name: c.not_after for c in made.certificates}
    assert ends["shop-scheduler"] == NOW + timedelta(hours=720)


def test_secrets_are_encrypted_and_older_plain_ones_still_read() -> None:
    config = json.loads(encryption_configuration("1.37.1", {"key1": b"k" * 32}))
    assert config["apiVersion"] == "apiserver.config.k8s.io/v1"
    [rule] = config["resources"]
    assert rule["resources"] == ["secrets"]
    assert [next(iter(p)) for p in rule["providers"]] == ["secretbox", "identity"]
