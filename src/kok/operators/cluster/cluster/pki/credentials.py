"""Certificates and kubeconfigs of a Cluster: kept while they are right, issued anew when not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kok import pki, versions
from kok.api import names
from kok.api.cluster.status import CertificateStatus
from kok.api.meta import Manifest
from kok.operators.cluster import naming, reasons, tunnel
from kok.operators.cluster.businesscluster.connections import leaf_in_kubeconfig
from kok.operators.cluster.cluster.pki.keys import Keys
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster
from kok.operators.cluster.endpoint import Endpoint
from kok.operators.cluster.naming import (
    CA_KEY,
    EGRESS_CONFIG,
    ENCRYPTION_CONFIG,
    ENCRYPTION_KEY,
    FRONT_PROXY_CA,
    KUBECONFIG,
    ROOTS,
    SA_KEY,
    SA_PUB,
    VALUE,
)
from kok.runtime.controller.errors import Invalid

CLIENT_FILES = "/etc/kubernetes/client"
"""Where pods of the controller manager and the scheduler find their Secret."""
ADMINS = "kubeadm:cluster-admins"
ADMIN = "kubernetes-admin"
KUBELET_CLIENT = "kube-apiserver-kubelet-client"
OPAQUE = "Opaque"


@dataclass(frozen=True, slots=True)
class ServingNames:
    """What the API server's certificate must carry."""

    dns: tuple[str, ...]
    addresses: tuple[str, ...]
    tunnel: tuple[str, ...] = ()
    """DNS names of the outer end of a tunnel; without one there is none."""


@dataclass(slots=True)
class Credentials:
    """Secrets to apply, and what the status shows of them."""

    secrets: list[Manifest] = field(default_factory=list)
    certificates: list[CertificateStatus] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    """Sentences on what was renewed, not on what was made for the first time."""
    ending: list[str] = field(default_factory=list)
    """Sentences on CAs that end soon."""
    incomplete: list[str] = field(default_factory=list)
    """Sentences on intermediate CAs that come without their root."""


class Issuer:
    """Makes the Secrets of one Cluster in one pass."""

    def __init__(
        self, resolved: ResolvedCluster, keys: Keys, lives: Mapping[str, Manifest], now: datetime
    ) -> None:
        """`lives` are the Cluster's Secrets by name."""
        self._resolved = resolved
        self._keys = keys
        self._lives = lives
        self._now = now
        self._made = Credentials()

    def all(self, served: ServingNames, endpoint: Endpoint | None) -> Credentials:
        """Everything that can be made: what hangs on a refused key is left as it is.

        Raises `Invalid` where a name of the spec cannot stand in a certificate.
        """
        try:
            for secret in self._secrets(served, endpoint):
                self._made.secrets.append(secret)
        except pki.PkiError as error:
            raise Invalid(reasons.INVALID_NAME, f"spec.endpoint: {error}") from None
        self._show_untouched()
        self._made.certificates.sort(key=lambda c: c.name)
        return self._made

    def _show_untouched(self) -> None:
        """What was left as it is, since its CA is refused, still has dates to show."""
        shown = {c.name for c in self._made.certificates}
        # Anybody may make more Secrets that look like the Cluster's: these are nobody's to read.
        for name in sorted(naming.secrets(self._resolved.name)):
            live = self._lives.get(name)
            leaf = pki.leaf_of(live) or leaf_in_kubeconfig(live)
            if name not in shown and leaf is not None:
                with suppress(pki.PkiError):
                    self._show(name, leaf.cert_pem)

    def _secrets(self, served: ServingNames, endpoint: Endpoint | None) -> Iterator[Manifest]:
        yield from key_manifests(self._resolved.name, self._keys)
        self._look_at_authorities()
        self._look_at_issuers()
        keys, name = self._keys, self._resolved.name
        if keys.service_account is not None and keys.encryption is not None:
            yield secret(naming.keys_secret(name), OPAQUE, self._server_keys())
        if keys.front_proxy is not None:
            yield self._tls(
                naming.front_proxy_client_secret(name),
                self._client("front-proxy-client"),
                keys.front_proxy,
            )
        if keys.ca is None:
            return
        server = pki.LeafSpec(
            "kube-apiserver",
            dns_names=served.dns,
            ip_addresses=served.addresses,
            usages=pki.Usage.SERVER,
            lifetime=self._resolved.leaf_lifetime,
        )
        yield self._tls(naming.serving_secret(name), server, keys.ca, behind=keys.ca.served_pem)
        yield self._tls(naming.kubelet_client_secret(name), self._client(KUBELET_CLIENT), keys.ca)
        yield self._scheduler(keys.ca)
        yield from self._controller_manager(keys.ca)
        for operator in names.OPERATORS:
            client = self._client(names.operator_user(operator), names.operator_group(operator))
            yield self._tls(names.operator_secret(name, operator), client, keys.ca)
        if served.tunnel:
            yield self._konnectivity(keys.ca, served.tunnel)
        yield from self._kubeconfigs(keys.ca, endpoint)

    def _kubeconfigs(
        self, ca: pki.CertificateAuthority, endpoint: Endpoint | None
    ) -> Iterator[Manifest]:
        """What users get; operators use neither of them."""
        resolved, admin = self._resolved, self._client(ADMIN, ADMINS)
        called = names.context(resolved.namespace, resolved.name)
        internal = names.internal_kubeconfig_secret(resolved.name)
        yield self._kubeconfig(internal, admin, f"{called}/internal", resolved.internal_url, ca)
        if endpoint is not None:
            public = names.admin_kubeconfig_secret(resolved.name)
            yield self._kubeconfig(public, admin, called, endpoint.url, ca)

    def _look_at_authorities(self) -> None:
        """Shows the CAs, and says which end soon."""
        name = self._resolved.name
        for ca in (names.cluster_ca_secret(name), names.front_proxy_ca_secret(name)):
            if ca not in self._keys.data:
                continue
            shown = self._show(ca, pki.decode({"data": self._keys.data[ca]}, pki.TLS_CRT) or b"")
            if shown.renew_at <= self._now:
                self._made.ending.append(
                    f"Secret {self._resolved.namespace}/{ca} ends on {shown.not_after:%Y-%m-%d} "
                    "and is not renewed by itself; put another CA into it before, and "
                    f"annotate the Cluster with {names.ANNOTATION_TRUST_CA}=<its fingerprint>"
                )

    def _look_at_issuers(self) -> None:
        """Of an intermediate CA: whether they lead to a root, and until when."""
        ca = self._keys.ca
        if ca is None:
            return
        where = f"Secret {self._resolved.namespace}/{names.cluster_ca_secret(self._resolved.name)}"
        if not ca.complete:
            self._made.incomplete.append(
                f"{where} holds an intermediate CA without its root: clients that insist on one, "
                "such as Python's before 3.13, do not trust the API; add the issuing certificates "
                "up to the root to tls.crt, behind the first, or put them into ca.crt"
            )
        for one in pki.split(ca.chain) if ca.chain else ():
            info = pki.certificate_info(one, self._resolved.renew_before)
            if info.renew_at <= self._now:
                self._made.ending.append(
                    f"{info.subject}, an issuer of the CA in {where}, ends on "
                    f"{info.not_after:%Y-%m-%d}; put its successor in its place"
                )

    def _server_keys(self) -> Mapping[str, str]:
        pair, key = self._keys.service_account, self._keys.encryption
        if pair is None or key is None:
            raise AssertionError("asked for only when both are there")
        config = encryption_configuration(self._resolved.version, {ENCRYPTION_KEY: key})
        return pki.encode(
            {SA_KEY: pair.private_pem, SA_PUB: pair.public_pem, ENCRYPTION_CONFIG: config}
        )

    def _scheduler(self, ca: pki.CertificateAuthority) -> Manifest:
        name = naming.scheduler_secret(self._resolved.name)
        user = "system:kube-scheduler"
        more = {KUBECONFIG: self._file_kubeconfig(user, ca)}
        return self._tls(name, self._client(user), ca, more)

    def _controller_manager(self, ca: pki.CertificateAuthority) -> Iterator[Manifest]:
        accounts, front = self._keys.service_account, self._keys.front_proxy
        if accounts is None or front is None:
            return
        user = "system:kube-controller-manager"
        # A copy of the CA that was checked: kubelet brings an edited Secret into running pods,
        # and the controller manager would sign with whatever stands in the original.
        more: dict[str, bytes | str] = {
            KUBECONFIG: self._file_kubeconfig(user, ca),
            CA_KEY: ca.key_pem,
            SA_KEY: accounts.private_pem,
            FRONT_PROXY_CA: front.trust_pem,
        }
        if ca.chain:
            more[ROOTS] = ca.anchors_pem
        name = naming.controller_manager_secret(self._resolved.name)
        yield self._tls(name, self._client(user), ca, more)

    def _konnectivity(self, ca: pki.CertificateAuthority, dns: tuple[str, ...]) -> Manifest:
        """One certificate for both: agents see it, and API servers are asked with it."""
        user = tunnel.USER
        spec = pki.LeafSpec(
            user, dns_names=dns, usages=pki.Usage.BOTH, lifetime=self._resolved.leaf_lifetime
        )
        more = {
            KUBECONFIG: self._file_kubeconfig(user, ca, tunnel.FILES),
            EGRESS_CONFIG: egress_configuration(self._resolved.version),
        }
        name = naming.konnectivity(self._resolved.name)
        return self._tls(name, spec, ca, more, behind=ca.served_pem)

    def _file_kubeconfig(
        self, user: str, ca: pki.CertificateAuthority, folder: str = CLIENT_FILES
    ) -> str:
        files = pki.ClientCertFiles(f"{folder}/{pki.TLS_CRT}", f"{folder}/{pki.TLS_KEY}")
        return pki.kubeconfig(
            self._resolved.name, self._resolved.internal_url, ca.trust_pem, user, files
        )

    def _client(self, user: str, *groups: str) -> pki.LeafSpec:
        return pki.LeafSpec(user, organizations=groups, lifetime=self._resolved.leaf_lifetime)

    def _tls(
        self,
        name: str,
        spec: pki.LeafSpec,
        ca: pki.CertificateAuthority,
        more: Mapping[str, bytes | str] | None = None,
        behind: bytes = b"",
    ) -> Manifest:
        """`behind`: what is sent with the certificate, so that others find the way to a root."""
        leaf = self._leaf(name, pki.leaf_of(self._lives.get(name)), spec, ca)
        sent = pki.Leaf(pki.split(leaf.cert_pem)[0] + behind, leaf.key_pem)
        data = {**pki.tls_secret_data(sent, ca.trust_pem), **pki.encode(more or {})}
        return secret(name, pki.TLS_SECRET_TYPE, data)

    def _kubeconfig(
        self,
        name: str,
        spec: pki.LeafSpec,
        called: str,
        server: str,
        ca: pki.CertificateAuthority,
    ) -> Manifest:
        leaf = self._leaf(name, leaf_in_kubeconfig(self._lives.get(name)), spec, ca)
        # All three names tell Clusters apart: merged files would else have one user for all.
        text = pki.kubeconfig(called, server, ca.anchors_pem, called, leaf, context_name=called)
        values = {KUBECONFIG: text}
        if name == names.admin_kubeconfig_secret(self._resolved.name):
            values[VALUE] = text
        return secret(name, OPAQUE, pki.encode(values))

    def _leaf(
        self, name: str, found: pki.Leaf | None, spec: pki.LeafSpec, ca: pki.CertificateAuthority
    ) -> pki.Leaf:
        why = pki.must_renew(found, spec, ca, self._now, self._resolved.renew_before)
        leaf = found
        if why is not None or leaf is None:
            leaf = pki.issue(ca, spec, self._now)
            if name in self._lives and why is not None:
                self._made.renewed.append(
                    f"Secret {self._resolved.namespace}/{name}: {why.message}"
                )
        self._show(name, leaf.cert_pem)
        return leaf

    def _show(self, name: str, cert_pem: bytes) -> CertificateStatus:
        info = pki.certificate_info(cert_pem, self._resolved.renew_before)
        shown = CertificateStatus(name=name, not_after=info.not_after, renew_at=info.renew_at)
        self._made.certificates.append(shown)
        return shown


def key_manifests(cluster: str, keys: Keys) -> list[Manifest]:
    """The Secrets of the keys themselves, but for those that somebody brought."""
    types = {
        names.cluster_ca_secret(cluster): pki.TLS_SECRET_TYPE,
        names.front_proxy_ca_secret(cluster): pki.TLS_SECRET_TYPE,
        names.service_account_secret(cluster): OPAQUE,
        naming.encryption_secret(cluster): OPAQUE,
    }
    return [
        secret(name, type_, keys.data[name])
        for name, type_ in types.items()
        if name in keys.data and name not in keys.brought
    ]


def secret(name: str, type_: str, data: Mapping[str, str]) -> Manifest:
    """A Secret's manifest, still without owner."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": type_,
        "data": dict(sorted(data.items())),
    }


def encryption_configuration(version: str, keys: Mapping[str, bytes]) -> str:
    """The EncryptionConfiguration, as JSON: Secrets by secretbox; `identity` reads older plain ones.

    `keys` by name; the first one writes.
    """
    encoded = [
        {"name": name, "secret": pki.encode({name: key})[name]} for name, key in keys.items()
    ]
    document: dict[str, Any] = {
        "apiVersion": versions.kubernetes(version).facts.config_apis.encryption,
        "kind": "EncryptionConfiguration",
        "resources": [
            {
                "resources": ["secrets"],
                "providers": [{"secretbox": {"keys": encoded}}, {"identity": {}}],
            }
        ],
    }
    return json.dumps(document, indent=1)


def egress_configuration(version: str) -> str:
    """The EgressSelectorConfiguration, as JSON: what is in the cluster is reached by the tunnel's socket.

    etcd, and what webhooks and issuers of tokens name by a URL, are reached without it.
    """
    connection = {"proxyProtocol": "GRPC", "transport": {"uds": {"udsName": tunnel.SOCKET}}}
    document = {
        "apiVersion": versions.kubernetes(version).facts.config_apis.egress_selector,
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [{"name": "cluster", "connection": connection}],
    }
    return json.dumps(document, indent=1)
