"""Whether a kubelet may have the certificate that it asks for. Pure.

Its first client certificate it asks for with the bootstrap token of its Machine, serving
certificates later as the node that it is then.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from kok.api.meta import Manifest
from kok.api.names import MACHINE_BOOTSTRAPPERS
from kok.kube.kinds import CSR
from kok.pki import MALFORMED
from kok.pki.effort import MAX_BITS
from kok.workload.reserved_names import Reserved

SERVING = "kubernetes.io/kubelet-serving"
CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
NODES = "system:nodes"
_NODE, _TOKEN = "system:node:", "system:bootstrap:"
_ASKERS = {SERVING: (_NODE, NODES), CLIENT: (_TOKEN, MACHINE_BOOTSTRAPPERS)}
"""Who may ask which signer: the beginning of the user's name, and a group."""
_USAGE = {SERVING: "server auth", CLIENT: "client auth"}
_USER, _REQUEST, _WORDS = 512, 2**14, 16
"""Characters of a user's name and of a request in base64, and texts of a list, that are kept."""
_INNER = frozenset("-.")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789") | _INNER
_LONGEST = 253
"""Of the name of an object."""
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
_EXTENSIONS = "1.2.840.113549.1.9.14"
"""The attribute of a request that lists extensions, PKCS #9."""
PENDING_MOST = 16
"""Undecided requests of one asker that are remembered: a kubelet has no more than one or two."""
REQUESTS_MOST = 1000
"""The same of all askers: whoever may ask may do so under many names."""
KEPT_MOST = 3 * 2**20
"""Bytes of all of them together; those of a thousand kubelets take less."""
_REQUEST_SIZE = 2048
"""Bytes of a request beside its texts: sets, dictionaries that it stands in."""
_ALSO = frozenset({"digital signature", "key encipherment"})
_EXPONENT = 64
"""Bits of the public exponent of an RSA key; all that are made have 17 or fewer."""


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate request that waits for a decision."""

    name: str
    signer: str
    asker: str
    """The user that the API server authenticated: `system:node:w1`, `system:bootstrap:abc123`."""
    groups: frozenset[str]
    usages: frozenset[str]
    pem: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        texts = (self.name, self.asker, *self.groups, *self.usages)
        return _REQUEST_SIZE + len(self.pem) + sum(map(sys.getsizeof, texts))


@dataclass(frozen=True, slots=True)
class Subject:
    """The one node that the request must match.

    Of a Machine, what its host says of itself is no part of it: it may lie.
    """

    node: str
    addresses: tuple[str, ...]
    """Those of its Machine's spec, and where the operator reached its host."""
    token_id: str | None = None
    names: frozenset[str] = frozenset()
    """Host names beside that of the node; a Machine has none."""
    elsewhere: str = (
        "which is not in the Machine's spec; if the host truly has it, list it under addresses of "
        "the host"
    )
    """What to say of an address that is not among them."""


class Pending:
    """Requests that nobody has decided; of one asker and of all the newest at most."""

    def __init__(self) -> None:
        self._by_asker: dict[str, dict[str, Request]] = {}
        self._by_name: dict[str, Request] = {}
        self._kept = 0
        """Bytes that all take."""
        self.overflowing = False
        """Whether some were forgotten and there are still many."""

    def take(self, csr: Manifest, *, gone: bool) -> Request | None:
        """An object was seen; the request that it is, if that waits for a decision."""
        known = self._by_name.get(str(csr["metadata"]["name"]))
        if known is not None:
            self.decided(known)
        request = None if gone else request_of(csr)
        if request is None:
            return None
        self._kept += request.size
        while len(self._by_name) >= REQUESTS_MOST or (self._by_name and self._kept > KEPT_MOST):
            self.overflowing = True
            self.decided(next(iter(self._by_name.values())))
        asked = self._by_asker.setdefault(request.asker, {})
        asked[request.name] = self._by_name[request.name] = request
        if len(asked) > PENDING_MOST:
            self.decided(next(iter(asked.values())))
        return request

    def of(self, asker: str) -> list[Request]:
        """Those of one user."""
        return list(self._by_asker.get(asker, {}).values())

    def get(self, name: str) -> Request | None:
        """One of them."""
        return self._by_name.get(name)

    def nodes(self) -> frozenset[str]:
        """Names of the nodes that wait for serving certificates."""
        found = (node_of(request) for request in self._by_name.values())
        return frozenset(name for name in found if name is not None)

    def decided(self, request: Request) -> None:
        """Somebody has decided a request, or it is gone."""
        known = self._by_name.pop(request.name, None)
        self._kept -= known.size if known is not None else 0
        few = len(self._by_name) < REQUESTS_MOST // 2 and self._kept < KEPT_MOST // 2
        self.overflowing = self.overflowing and not few
        asked = self._by_asker.get(request.asker, {})
        asked.pop(request.name, None)
        if not asked:
            self._by_asker.pop(request.asker, None)


def by_node(node: str) -> str:
    """The name under which a node asks."""
    return f"{_NODE}{node}"


def node_of(request: Request) -> str | None:
    """The node that asks; None where somebody asks who is none, by a name that no Node can have.

    Names of nodes stand in commands that people copy.
    """
    if not request.asker.startswith(_NODE):
        return None
    name = request.asker.removeprefix(_NODE)
    fits = 0 < len(name) <= _LONGEST and set(name) <= _LETTERS and not {name[0], name[-1]} & _INNER
    return name if fits else None


def by_token(token_id: str) -> str:
    """The name under which the bearer of a bootstrap token asks."""
    return f"{_TOKEN}{token_id}"


def request_of(csr: Manifest) -> Request | None:
    """A kubelet's request that is undecided, or None for any other object."""
    spec: Mapping[str, Any] = csr.get("spec") or {}
    status: Mapping[str, Any] = csr.get("status") or {}
    signer, user = str(spec.get("signerName")), str(spec.get("username", ""))
    begins = _ASKERS.get(signer, ("", ""))[0]
    if not begins or not user.startswith(begins) or len(user) > _USER:
        return None
    if status.get("conditions") or status.get("certificate"):
        return None
    text = spec.get("request") or ""
    try:
        fits = isinstance(text, str) and len(text) <= _REQUEST
        pem = base64.b64decode(text, validate=True) if fits else b""
    except (binascii.Error, ValueError):
        pem = b""
    return Request(
        name=csr["metadata"]["name"],
        signer=signer,
        asker=user,
        groups=_words(spec.get("groups")),
        usages=_words(spec.get("usages")),
        pem=pem,
    )


def _words(found: object) -> frozenset[str]:
    """Texts of a list; a kubelet's request has two or three, of a few characters."""
    listed = found[:_WORDS] if isinstance(found, list) else []
    return frozenset(str(word)[:_USER] for word in listed)


def objection(request: Request, subject: Subject, reserved: Reserved) -> str | None:
    """Why the request must not be granted, as a sentence, or None."""
    _, group = _ASKERS[request.signer]
    token = by_token(subject.token_id) if subject.token_id is not None else None
    wanted = by_node(subject.node) if request.signer == SERVING else token
    if request.asker != wanted:
        return f"it comes from {request.asker}"
    if group not in request.groups:
        return f"who asks is not in the group {group}"
    usage = _USAGE[request.signer]
    if usage not in request.usages or request.usages - _ALSO - {usage}:
        return f"it asks for the usages {', '.join(sorted(request.usages))}"
    try:
        asked = x509.load_pem_x509_csr(request.pem)
        return (
            _unclear(request.pem, asked)
            or _subject(asked, subject)
            or _names(request, asked, subject, reserved)
            or _unproven(asked)
        )
    except MALFORMED:
        return "it cannot be read"


def approval(request: Request, now: datetime, whose: str = "Machine") -> Manifest:
    """The body that approves a request, for its `approval` subresource (a merge patch).

    `whose` is the kind of the object that it matches.
    """
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
                    "reason": f"Matches{whose}",
                    "message": f"names and addresses are those of the {whose}",
                    "lastUpdateTime": stamp,
                    "lastTransitionTime": stamp,
                }
            ]
        },
    }


def _unclear(pem: bytes, asked: x509.CertificateSigningRequest) -> str | None:
    """Why whoever signs it might find something else in it than we do, or None.

    Parsers differ in where they let a block begin, and in which of several lists of extensions
    they take; what a kubelet sends leaves no choice.
    """
    written = asked.public_bytes(serialization.Encoding.PEM)
    lists = [attribute.oid.dotted_string for attribute in asked.attributes]
    if pem in {written, written.rstrip(b"\n")} and lists in ([], [_EXTENSIONS]):
        return None
    return "it is not written as kubelets write them: others could read something else in it"


def _unproven(asked: x509.CertificateSigningRequest) -> str | None:
    """Whether who asks has the key; the last question, since only this one takes some time."""
    key = asked.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        if key.key_size > MAX_BITS or numbers.e.bit_length() > _EXPONENT:
            return f"its key is larger than RSA with {MAX_BITS} bits"
    elif not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return "its key is of a kind that no kubelet has"
    return None if asked.is_signature_valid else "its signature is wrong"


def _subject(asked: x509.CertificateSigningRequest, subject: Subject) -> str | None:
    attributes = {(a.oid, a.value) for a in asked.subject}
    wanted = {
        (NameOID.COMMON_NAME, by_node(subject.node)),
        (NameOID.ORGANIZATION_NAME, NODES),
    }
    if attributes == wanted:
        return None
    return f"its subject is {asked.subject.rfc4514_string()}"


def _names(
    request: Request,
    asked: x509.CertificateSigningRequest,
    subject: Subject,
    reserved: Reserved,
) -> str | None:
    names = _alternatives(asked)
    if request.signer == CLIENT:
        return "it names hosts or addresses" if names is not None else None
    if names is None:
        return "it names neither host nor address"
    dns = names.get_values_for_type(x509.DNSName)
    addresses = names.get_values_for_type(x509.IPAddress)
    if len(dns) + len(addresses) != len(list(names)):
        return "it holds names of other kinds than hosts and addresses"
    if not dns and not addresses:
        return "it names neither host nor address"
    return _foreign(dns, list(map(str, addresses)), subject, reserved)


def _foreign(
    dns: Sequence[str], addresses: Sequence[str], subject: Subject, reserved: Reserved
) -> str | None:
    """What is not the node's, or nobody's to have."""
    for host in (*dns, *addresses):
        what = reserved.of(host)
        if what is not None:
            return f"it names {_few([host])}, which is {what}; no node may have it"
    odd = [name for name in dns if not _is_plain(name)]
    if odd:
        return f"it names {_few(odd)}, which is no plain host name; no node may have it"
    foreign = [name for name in dns if name not in {subject.node, *subject.names}]
    if foreign:
        return f"it names {_few(foreign)}, which is not the node's name"
    own = _addresses(subject.addresses)
    unlisted = [address for address in addresses if ipaddress.ip_address(address) not in own]
    if unlisted:
        return f"it names {_few(unlisted)}, {subject.elsewhere}"
    return None


def _is_plain(name: str) -> bool:
    """Whether it names one host, and to everybody the same: no wildcard, nothing outside of ASCII."""
    return len(name) <= _LONGEST and _HOST_NAME.fullmatch(name) is not None


def _few(hosts: Sequence[str]) -> str:
    """Some of them: a host may ask for as many as it likes."""
    more = f" and {len(hosts) - 3} more" if len(hosts) > 3 else ""
    return ", ".join(host[:253] for host in hosts[:3]) + more


def _alternatives(asked: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    try:
        return asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _addresses(texts: Iterable[str]) -> set[object]:
    found: set[object] = set()
    for text in texts:
        try:
            found.add(ipaddress.ip_address(text))
        except ValueError:
            continue  # A host name.
    return found
