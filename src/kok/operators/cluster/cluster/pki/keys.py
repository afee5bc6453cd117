"""The keys that nothing can replace: two CAs, service account keys, the encryption key.

Each lies in a Secret of its own and its fingerprint in the Cluster's status. They are made once;
one that was in use and is gone or changed is never made anew, since all that hangs on it would
break: it is refused with a sentence that says how to mend it, and everything that needs it is
left as it is until then.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from kok import pki
from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube.objects.ownership import brought
from kok.operators.cluster import naming, reasons
from kok.operators.cluster.naming import (
    ENCRYPTION_KEY,
    FIELD_MANAGER,
    SA_KEY,
    SA_PUB,
    controller_manager_secret,
    encryption_secret,
)
from kok.pki import pem
from kok.workload.identity import MOST

_NAMED = 5
"""Entries of a Secret that a sentence names."""
_TEXT = 2048
"""Characters of such a sentence: who writes a Secret names its entries."""


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """Why a key cannot be used."""

    secret: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Keys:
    """What is usable; None where `problems` says why not."""

    ca: pki.CertificateAuthority | None
    front_proxy: pki.CertificateAuthority | None
    service_account: pki.KeyPair | None
    encryption: bytes | None = field(repr=False)
    problems: tuple[KeyProblem, ...]
    fingerprints: Mapping[str, str]
    """By Secret, of all that is usable: to be recorded."""
    data: Mapping[str, Mapping[str, str]] = field(repr=False)
    """By Secret, of all that is usable: `data` of the Secret, made now or as it stands there."""
    trusted: tuple[str, ...] = ()
    """Secrets whose new content was accepted because the annotation says so."""
    brought: frozenset[str] = frozenset()
    """Secrets whose keys somebody else wrote: they are used, and never written."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One key after its check."""

    problem: KeyProblem | None = None
    fingerprint: str = ""
    trusted: bool = False


class KeyRing:
    """Checks and makes the keys of one Cluster."""

    def __init__(
        self,
        cluster: Cluster,
        secrets: Mapping[str, Manifest],
        now: datetime,
        make_pair: Callable[[], pki.KeyPair] = pki.service_account_keys,
    ) -> None:
        """`secrets` are the Cluster's Secrets by name; `make_pair` takes its time.

        Of a Cluster that begins with a backup no key is ever made, whoever asks: those that are
        missing are left out without a word, and `kok.operators.cluster.cluster.pki.restored_keys` has the words.
        """
        self._cluster = cluster
        self._secrets = secrets
        self._now = now
        self._make_pair = make_pair
        self._may_make = cluster.spec.etcd.restore_from is None
        self._trust = cluster.metadata.annotations.get(names.ANNOTATION_TRUST_CA, "")
        self._fingerprints: dict[str, str] = {}
        self._problems: list[KeyProblem] = []
        self._data: dict[str, Mapping[str, str]] = {}
        self._trusted: list[str] = []

    async def settle(self) -> Keys:
        """Checks what is there and makes what never was."""
        name = self._cluster.name
        ca = self._authority(names.cluster_ca_secret(name), f"{name}-ca")
        front = self._authority(names.front_proxy_ca_secret(name), f"{name}-front-proxy-ca")
        accounts = await self._service_account(names.service_account_secret(name))
        encryption = self._encryption(encryption_secret(name))
        return Keys(
            ca,
            front,
            accounts,
            encryption,
            tuple(self._problems),
            self._fingerprints,
            self._data,
            tuple(self._trusted),
            frozenset(name for name in self._data if self._is_brought(name)),
        )

    def _is_brought(self, secret: str) -> bool:
        live = self._secrets.get(secret)
        return live is not None and brought(live, FIELD_MANAGER, naming.key_entries(secret))

    def _is_unfilled(self, secret: str, reason: str) -> bool:
        """Notes a Secret that is there without what it is to hold.

        Nothing is written into it: KOK makes none without, and what is somebody else's may refuse
        it, so that a key which was made would be in use, and nowhere kept.
        """
        live = self._secrets.get(secret)
        if live is None:
            return False
        wanted = ", ".join(naming.key_entries(secret))
        there = ", ".join(sorted(live.get("data") or ())[:_NAMED]) or "none"
        whose = "is not KOK's, and" if self._is_brought(secret) else "is there, and"
        text = (
            f"{self._called(secret)} {whose} does not hold {wanted} (entries: {there}); add "
            "what is missing, or remove the Secret, and one is made"
        )
        self._problems.append(KeyProblem(secret, reason, text[:_TEXT]))
        return True

    def _authority(self, secret: str, common_name: str) -> pki.CertificateAuthority | None:
        live = self._secrets.get(secret)
        cert, key = pki.decode(live, pki.TLS_CRT), pki.decode(live, pki.TLS_KEY)
        latched = self._latched(secret)
        decision = pki.decide_ca(
            cert, key, self._now, latched_fingerprint=latched, name=self._called(secret)
        )
        if decision.problem is not None and self._is_trusted(lambda: pki.fingerprint(cert or b"")):
            decision = pki.decide_ca(
                cert, key, self._now, latched_fingerprint=None, name=self._called(secret)
            )
            if decision.action is pki.CAAction.USE:
                self._trusted.append(secret)
        if decision.problem is not None:
            message = decision.problem.message + self._advice(secret, decision.problem)
            self._problems.append(KeyProblem(secret, decision.problem.reason, message))
            return None
        if decision.action is pki.CAAction.CREATE:
            if not self._may_make or self._is_unfilled(secret, pki.CAReason.MISSING):
                return None
            ca = pki.new_ca(common_name, self._now)
        else:
            # The first certificate alone: it is the one whose fingerprint was checked.
            only = pem.dump_certificate(pem.load_certificate(cert or b""))
            ca = pki.CertificateAuthority(only, key or b"", chain=_issuers(only, live))
        self._fingerprints[secret] = pki.fingerprint(ca.cert_pem)
        self._data[secret] = pki.ca_secret_data(ca)
        return ca

    def _advice(self, secret: str, problem: pki.CAProblem) -> str:
        if problem.reason is pki.CAReason.CHANGED:
            cert = pki.decode(self._secrets.get(secret), pki.TLS_CRT) or b""
            return (
                ", or annotate the Cluster with "
                f"{names.ANNOTATION_TRUST_CA}={pki.fingerprint(cert)} to go over to the new one"
            )
        copy = controller_manager_secret(self._cluster.name)
        if secret == names.cluster_ca_secret(self._cluster.name) and self._holds_ca(copy, secret):
            return f"; {self._called(copy)} still has it as ca.crt and ca.key"
        return ""

    def _holds_ca(self, copy: str, secret: str) -> bool:
        cert = pki.decode(self._secrets.get(copy), pki.CA_CRT)
        try:
            return cert is not None and pki.fingerprint(cert) == self._latched(secret)
        except pki.PkiError:
            return False

    async def _service_account(self, secret: str) -> pki.KeyPair | None:
        private = pki.decode(self._secrets.get(secret), SA_KEY)
        if not private and not self._latched(secret):
            if not self._may_make or self._is_unfilled(secret, reasons.KEY_MISSING):
                return None
            # RSA takes a tenth of a second: off the loop, other Clusters have passes, too.
            pair = await asyncio.to_thread(self._make_pair)
        else:
            found = self._check(secret, SA_KEY, private, service_account_fingerprint)
            if found.problem is not None:
                return None
            pair = pki.KeyPair(private or b"", pki.public_pem_of(private or b""))
        self._fingerprints[secret] = service_account_fingerprint(pair.private_pem)
        self._data[secret] = pki.encode({SA_KEY: pair.private_pem, SA_PUB: pair.public_pem})
        return pair

    def _encryption(self, secret: str) -> bytes | None:
        key = pki.decode(self._secrets.get(secret), ENCRYPTION_KEY)
        if not key and not self._latched(secret):
            if not self._may_make or self._is_unfilled(secret, reasons.KEY_MISSING):
                return None
            key = pki.encryption_key()
        elif self._check(secret, ENCRYPTION_KEY, key, encryption_fingerprint).problem is not None:
            return None
        if key is None:
            raise AssertionError("a usable key is there")
        self._fingerprints[secret] = encryption_fingerprint(key)
        self._data[secret] = pki.encode({ENCRYPTION_KEY: key})
        return key

    def _check(
        self, secret: str, entry: str, value: bytes | None, fingerprint: Callable[[bytes], str]
    ) -> _Found:
        latched = self._latched(secret)
        found = self._judge(secret, entry, value, fingerprint, latched)
        if found.problem is not None:
            self._problems.append(found.problem)
        elif found.trusted:
            self._trusted.append(secret)
        return found

    def _judge(
        self,
        secret: str,
        entry: str,
        value: bytes | None,
        fingerprint: Callable[[bytes], str],
        latched: str | None,
    ) -> _Found:
        where = self._called(secret)
        back = f"; put back the key with fingerprint {latched} as {entry}" if latched else ""
        if not value:
            text = f"{where} does not hold {entry}{back}"
            return _Found(KeyProblem(secret, reasons.KEY_MISSING, text))
        try:
            found = fingerprint(value)
        except pki.PkiError as error:
            text = f"{where}: {entry} cannot be used: {error}{back}"
            return _Found(KeyProblem(secret, reasons.KEY_UNREADABLE, text))
        if latched is None or found == latched:
            return _Found(fingerprint=found)
        text = f"{where} holds another key ({found}) than the one in use ({latched}){back}"
        if entry == ENCRYPTION_KEY:
            # Without the one in use nothing that it encrypted can be read: no word of anybody
            # makes another one right.
            text += ". Secrets in etcd are encrypted with it, and no other key reads them"
            return _Found(KeyProblem(secret, reasons.KEY_CHANGED, text))
        if self._trust == found:
            return _Found(fingerprint=found, trusted=True)
        text += (
            f", or annotate the Cluster with {names.ANNOTATION_TRUST_CA}={found} to go over to it"
        )
        return _Found(KeyProblem(secret, reasons.KEY_CHANGED, text))

    def _is_trusted(self, fingerprint: Callable[[], str]) -> bool:
        if not self._trust:
            return False
        try:
            return fingerprint() == self._trust
        except pki.PkiError:
            return False

    def _latched(self, secret: str) -> str | None:
        return self._cluster.status.ca_fingerprints.get(secret)

    def _called(self, secret: str) -> str:
        return f"Secret {self._cluster.namespace}/{secret}"


def _issuers(signer: bytes, live: Manifest | None) -> bytes:
    """How an intermediate CA is certified, by what else lies in its Secret."""
    found = b""
    for entry in (pki.TLS_CRT, pki.CA_CRT):
        value = pki.decode(live, entry) or b""
        with suppress(pki.PkiError):
            found = pki.merge_bundles(found, value[:MOST])
    try:
        return pki.chain_of(signer, found)
    except pki.PkiError:
        return b""


_KEY_BYTES = 32


def service_account_fingerprint(private_pem: bytes) -> str:
    """`sha256:<hex>` of the public half. Raises `PkiError` for what is no private key."""
    return f"sha256:{hashlib.sha256(pki.public_pem_of(private_pem)).hexdigest()}"


def encryption_fingerprint(key: bytes) -> str:
    """A hash of a random key of 256 bits tells nothing of it. Raises `PkiError` for another length."""
    if len(key) != _KEY_BYTES:
        raise pki.PkiError(f"it has {len(key)} bytes where {_KEY_BYTES} are needed")
    return f"sha256:{hashlib.sha256(key).hexdigest()}"
