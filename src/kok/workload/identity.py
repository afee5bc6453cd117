"""An operator's identity in a business cluster, built from parts that were checked. Pure.

What lies in a Secret is data of whoever may write in its namespace: nothing of it decides where a
request goes or what is read from a disk. The address is one that KOK itself knows, the CA the one
whose fingerprint stands in the Cluster's status, and the Secret the Cluster's own child.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from kok import pki
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.api.names import cluster_ca_secret
from kok.kube.http.access import Access, by_certificate
from kok.kube.objects.ownership import owned_by
from kok.pki import CA_CRT, TLS_CRT, TLS_KEY, Leaf, PkiError

MOST = 64 * 1024
"""Bytes of one entry of a Secret that are looked at: a chain has a few KiB."""


class Untrusted(Exception):
    """A Secret that is not what it should be; the message says what is wrong with which one."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are to one business cluster and whom we trust there. PEM; it stays out of `repr`."""

    ca: bytes = field(repr=False)
    """The one CA whose fingerprint is recorded."""
    leaf: Leaf = field(repr=False)

    def at(self, server: str) -> Access:
        """This identity at an address, `https://host:port`. Raises `AccessError`."""
        return by_certificate(server, self.ca, self.leaf.cert_pem, self.leaf.key_pem)

    def digest(self, *more: str) -> str:
        """Changes with any of it."""
        found = hashlib.sha256()
        for part in (self.ca, self.leaf.cert_pem, self.leaf.key_pem, *(m.encode() for m in more)):
            found.update(hashlib.sha256(part).digest())
        return found.hexdigest()


def identity_of(secret: Manifest, cluster: Cluster, fingerprint: str | None = None) -> Identity:
    """The identity in a Secret with tls.crt, tls.key and ca.crt. Raises `Untrusted`.

    `fingerprint` is that of the Cluster's CA, by default the one that its status records.
    """
    meta = secret["metadata"]
    name = f"Secret {meta.get('namespace', cluster.namespace)}/{meta['name']}"
    if not owned_by(secret, cluster):
        raise Untrusted(f"{name} does not belong to {cluster}; delete it, it is made anew")
    try:
        ca, cert, key = (_entry(secret, name, k) for k in (CA_CRT, TLS_CRT, TLS_KEY))
        return Identity(recorded_ca(ca, cluster, fingerprint), Leaf(cert, key))
    except PkiError as error:
        raise Untrusted(f"{name}: {error}") from None


def recorded_ca(bundle: bytes, cluster: Cluster, fingerprint: str | None = None) -> bytes:
    """The certificate of a bundle that is the Cluster's CA, alone. Raises `PkiError`."""
    wanted = fingerprint or cluster.status.ca_fingerprints.get(cluster_ca_secret(cluster.name))
    if not wanted:
        raise PkiError(f"the CA of {cluster} is not recorded yet")
    for one in pki.split(bundle):
        if pki.fingerprint(one) == wanted:
            return one
    raise PkiError(f"ca.crt holds another CA than the recorded one of {cluster} ({wanted})")


def _entry(secret: Manifest, name: str, key: str) -> bytes:
    value = pki.decode(secret, key)
    if not value:
        raise Untrusted(f"{name} has no {key}")
    if len(value) > MOST:
        raise Untrusted(f"{key} of {name} has {len(value)} bytes; at most {MOST} are read")
    return value
