"""Letting a host join its cluster: what is written, and whether that is still to be done. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from kok.api.fields import Taint
from kok.operators.machine.remote import host_paths, shell
from kok.operators.machine.remote.survey import Identity
from kok.pki import MALFORMED

_NODE = "system:node:"
"""What stands before the name of a node in the certificate of its kubelet."""
FOREIGN = "the kubelet's certificate is not of this cluster"
OTHER_NODE = "the kubelet's certificate is for another node"
EXPIRED = "the kubelet's certificate expired"
_ELSEWHERE = "the kubelet talks to another address than the cluster's"
STOPPED = "the kubelet does not run"
_OF_ALL = frozenset({FOREIGN, _ELSEWHERE})
"""What comes to all nodes of a cluster together."""


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """What has to happen so that the host is a node of its cluster."""

    why: str
    token: bool
    """Whether the kubelet needs a bootstrap token."""
    forget: bool = False
    """Whether an identity that is no longer good has to go first."""
    staged: bool = False
    """Whether the cluster's address or CA changed, which concerns all of its nodes at once."""


@dataclass(frozen=True, slots=True)
class ClusterEndpoint:
    """How a node reaches its cluster."""

    server: str
    """`https://host:port`"""
    ca: bytes = field(repr=False)
    """PEM; the first certificate is the one that signs."""

    @property
    def ca_digest(self) -> str:
        """SHA-256 of the file as it is written on hosts."""
        return hashlib.sha256(self.ca).hexdigest()

    @property
    def digest(self) -> str:
        """Changes with the address and with the CA: see `spec.accessHash` of Machines."""
        return hashlib.sha256(f"{self.server}\0{self.ca_digest}".encode()).hexdigest()[:16]


def plan(
    identity: Identity,
    endpoint: ClusterEndpoint,
    node: str,
    now: datetime,
    *,
    own_way: bool = False,
) -> JoinPlan | None:
    """What has to be done, or None if the host has joined this very cluster.

    `own_way`: it may reach the cluster by another address, and have another CA file than it would get.
    """
    if not identity.certificate:
        return JoinPlan("the kubelet has no credentials yet", token=True)
    stale = _stale(identity, endpoint, node, now)
    if stale and not (own_way and stale == _ELSEWHERE):
        return JoinPlan(stale, token=True, forget=True, staged=stale in _OF_ALL)
    if identity.ca != endpoint.ca_digest and not (own_way and identity.ca):
        return JoinPlan("the cluster's CA file is to be renewed", token=False, staged=True)
    if identity.kubelet in {"inactive", "failed", "unknown"}:
        return JoinPlan(STOPPED, token=False)
    return None


def _stale(identity: Identity, endpoint: ClusterEndpoint, node: str, now: datetime) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(identity.certificate.encode())
        authorities = x509.load_pem_x509_certificates(endpoint.ca)
    except MALFORMED:
        return "the kubelet's certificate cannot be read"
    if not any(_issued_by(certificate, ca) for ca in authorities):
        return FOREIGN
    if now >= certificate.not_valid_after_utc:
        return EXPIRED
    if node_of(identity) != node:
        return OTHER_NODE
    if identity.server and identity.server != endpoint.server:
        return _ELSEWHERE
    return ""


def node_of(identity: Identity) -> str:
    """The name of the node for which the kubelet has a certificate; empty if it cannot be read."""
    try:
        subject = x509.load_pem_x509_certificate(identity.certificate.encode()).subject
    except MALFORMED:
        return ""
    told = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(told[0].value) if told else ""
    return name.removeprefix(_NODE)[:253] if name.startswith(_NODE) else ""


def _issued_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Joining:
    """One attempt to join."""

    uid: str
    """The Machine's."""
    todo: JoinPlan
    endpoint: ClusterEndpoint
    taints: tuple[Taint, ...] = ()
    bootstrap: str | None = field(default=None, repr=False)
    """The kubeconfig with the token, where one is needed."""


def script(joining: Joining) -> str:
    """The script. It ends with code 79 if the host cannot reach the cluster's API."""
    endpoint, todo = joining.endpoint, joining.todo
    forget = [host_paths.KUBECONFIG, host_paths.PKI] if todo.forget else []
    register: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # Present from the first moment, so that no pod slips in before the operator sets them.
        "registerWithTaints": [
            {"key": t.key, "value": t.value, "effect": t.effect} for t in joining.taints
        ],
    }
    bootstrap = joining.bootstrap
    return shell.compose(
        {
            "KOK_UID": joining.uid,
            "KOK_API": f"{endpoint.server}/livez",
            "KOK_FORGET": " ".join(forget),
        },
        shell.library("survey"),
        shell.library("units"),
        shell.library("join"),
        "owned\n",
        shell.feed("put", host_paths.CA, "0644", content=endpoint.ca),
        shell.call("answers", host_paths.CA),
        "forget_identity\n" if todo.forget else "",
        shell.feed("put", host_paths.REGISTER, "0644", content=yaml.safe_dump(register)),
        shell.feed("put", host_paths.BOOTSTRAP, "0600", content=bootstrap) if bootstrap else "",
        "start_kubelet\n",
        identity_call(),
    )


def finish_script(uid: str) -> str:
    """Takes the bootstrap token off the host once the kubelet has a certificate of its own."""
    return shell.compose(
        {"KOK_UID": uid},
        shell.library("survey"),
        "owned\n",
        f"[ -e {host_paths.CLIENT_CERTIFICATE} ] && rm -f {host_paths.BOOTSTRAP}\n",
        identity_call(),
    )


def identity_call() -> str:
    """The call of survey.sh that tells of the kubelet's identity."""
    return shell.call(
        "identity", host_paths.PKI, host_paths.KUBECONFIG, host_paths.CA, host_paths.BOOTSTRAP
    )
