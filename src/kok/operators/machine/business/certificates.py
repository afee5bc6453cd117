"""Whether a kubelet may have the serving certificate that it asks for. Pure."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from kok.api.meta import Manifest
from kok.kube.kinds import CSR

SIGNER = "kubernetes.io/kubelet-serving"
NODES = "system:nodes"
_REQUIRED = "server auth"
_ALLOWED = frozenset({"digital signature", "key encipherment", _REQUIRED})


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate request that waits for a decision."""

    name: str
    node: str
    """The node that asks, by the user that the API server authenticated."""
    groups: frozenset[str]
    usages: frozenset[str]
    pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subject:
    """The one Machine that the request must match."""

    node: str
    hostname: str
    addresses: tuple[str, ...]


def request_of(csr: Manifest) -> Request | None:
    """A request for a serving certificate that is undecided, or None for any other object."""
    spec: Mapping[str, Any] = csr.get("spec") or {}
    status: Mapping[str, Any] = csr.get("status") or {}
    user = str(spec.get("username", ""))
    if spec.get("signerName") != SIGNER or status.get("conditions") or status.get("certificate"):
        return None
    try:
        pem = base64.b64decode(spec.get("request") or "", validate=True)
    except (binascii.Error, ValueError):
        pem = b""
    return Request(
        name=csr["metadata"]["name"],
        node=user.removeprefix("system:node:") if user.startswith("system:node:") else "",
        groups=frozenset(spec.get("groups") or ()),
        usages=frozenset(spec.get("usages") or ()),
        pem=pem,
    )


def objection(request: Request, subject: Subject) -> str | None:
    """Why the request must not be granted, as a sentence, or None."""
    if request.node != subject.node:
        return f"it comes from node {request.node or 'nobody'}"
    if NODES not in request.groups:
        return f"who asks is not in the group {NODES}"
    if _REQUIRED not in request.usages or request.usages - _ALLOWED:
        return f"it asks for the usages {', '.join(sorted(request.usages))}"
    try:
        asked = x509.load_pem_x509_csr(request.pem)
        if not asked.is_signature_valid:
            return "its signature is wrong"
        return _subject(asked, subject) or _names(asked, subject)
    except ValueError:
        return "it cannot be read"


def approval(request: Request, now: datetime) -> Manifest:
    """The body that approves a request, for its `approval` subresource (a merge patch)."""
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": CSR.api_version,
        "kind": CSR.kind,
        "metadata": {"name": request.name},
        "status": {
            "conditions": [
                {
                    "type": "Approved",
                    "status": "True",
                    "reason": "MatchesMachine",
                    "message": "names and addresses are those of the Machine",
                    "lastUpdateTime": stamp,
                    "lastTransitionTime": stamp,
                }
            ]
        },
    }


def _subject(asked: x509.CertificateSigningRequest, subject: Subject) -> str | None:
    attributes = {(a.oid, a.value) for a in asked.subject}
    wanted = {
        (NameOID.COMMON_NAME, f"system:node:{subject.node}"),
        (NameOID.ORGANIZATION_NAME, NODES),
    }
    if attributes == wanted:
        return None
    return f"its subject is {asked.subject.rfc4514_string()}"


def _names(asked: x509.CertificateSigningRequest, subject: Subject) -> str | None:
    try:
        names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "it names neither host nor address"
    allowed_names = {subject.node, subject.hostname} - {""}
    allowed = _addresses(subject.addresses)
    dns = names.get_values_for_type(x509.DNSName)
    addresses = names.get_values_for_type(x509.IPAddress)
    foreign = [name for name in dns if name not in allowed_names]
    foreign += [str(address) for address in addresses if address not in allowed]
    if foreign:
        return f"it names {', '.join(foreign)}, which is not this Machine's"
    if len(dns) + len(addresses) != len(list(names)):
        return "it holds names of other kinds than hosts and addresses"
    return None if dns or addresses else "it names neither host nor address"


def _addresses(texts: Iterable[str]) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    found = set()
    for text in texts:
        try:
            found.add(ipaddress.ip_address(text))
        except ValueError:
            continue  # A host name.
    return found
