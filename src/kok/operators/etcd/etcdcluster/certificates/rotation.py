"""The CAs of an EtcdCluster and their Secrets: the one in use, and the next one while it takes its place.

The phases are those of `kok.pki.rotation`; here it is said what they mean for Secrets. The next CA
lies in a Secret of its own until `Drop`, and then in that of the earlier one. What is announced is
`status.caRotation.clients`: members are restarted one by one, and API servers by the operator that
has them. Pure functions.
"""

from __future__ import annotations

from datetime import datetime

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.certificates import certificates, trust
from kok.operators.etcd.etcdcluster.certificates.certificates import Authority
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.pki import (
    CAAction,
    CAProblem,
    CAReason,
    CertificateAuthority,
    PkiError,
    ca_of,
    fingerprint,
    new_ca,
)
from kok.pki.rotation import Rotation, decide_next_ca
from kok.pki.rotation import authority as of_both


def authority(obj: EtcdCluster, observed: Observed, now: datetime) -> Authority:
    """Who signs, whom everybody trusts, and what the Secrets of CAs are to hold."""
    own = names.etcd_ca_secret(obj.name)
    recorded, secret = obj.status.ca_fingerprint, observed.get(kinds.SECRET, own)
    if recorded is None and (odd := _not_to_be_recorded(obj, secret)) is not None:
        return Authority(None, problem=odd)
    found = certificates.authority(obj, secret, recorded, now)
    rotation = trust.recorded(obj.status)
    if rotation.phase is None or not rotation.under_way:
        return found
    if rotation.phase == "Drop":
        return _in_its_place(obj, observed, found)
    if found.ca is None or found.trusted_now:
        return found
    following = _following(obj, observed, rotation, now)
    if following.ca is None:
        return following
    both = of_both(rotation.phase, found.ca, following.ca)
    return Authority(both, {**found.kept, **following.kept}, following.made)


def following_fingerprint(obj: EtcdCluster, ca: Authority) -> str | None:
    """Fingerprint of the next CA, to be recorded before anybody trusts it."""
    found = ca.kept.get(naming.next_ca_secret(obj.name))
    return fingerprint(found.cert_pem) if found is not None else None


def is_in_place(obj: EtcdCluster, observed: Observed, now: datetime) -> bool:
    """Whether all Secrets were seen to hold what the present phase wants."""
    ca = authority(obj, observed, now)
    if ca.ca is None or ca.made is not None or ca.trusted_now:
        return False
    secrets = observed.secrets
    return (
        all(_holds(secrets.get(name), one) for name, one in ca.kept.items())
        and all(
            certificates.trust_of(secrets.get(name)) == ca.ca.trust_pem
            for name in naming.leaf_secrets(obj.name)
        )
        and not certificates.leaves(obj, ca.ca, secrets, now).issued
    )


def leftover(obj: EtcdCluster, observed: Observed) -> Manifest | None:
    """The Secret of the next CA when it is of no use any more."""
    live = observed.get(kinds.SECRET, naming.next_ca_secret(obj.name))
    if live is None or trust.under_way(obj.status) is not None or not roles.is_ours(live, obj):
        return None
    return None if live["metadata"].get("deletionTimestamp") else live


def _in_its_place(obj: EtcdCluster, observed: Observed, found: Authority) -> Authority:
    """The CA whose turn it is by now, from its first Secret if the second has yet to get it."""
    if found.ca is not None and not found.trusted_now:
        return found
    secret = observed.get(kinds.SECRET, naming.next_ca_secret(obj.name))
    try:
        stored = ca_of(secret)
    except PkiError:
        return found
    if stored is None or not _is_recorded(stored, obj.status.ca_fingerprint):
        return found
    ca = CertificateAuthority(stored.cert_pem, stored.key_pem)
    return Authority(ca, {names.etcd_ca_secret(obj.name): ca})


def _following(
    obj: EtcdCluster, observed: Observed, rotation: Rotation, now: datetime
) -> Authority:
    """The next CA, made if there is none and may be one."""
    name = naming.next_ca_secret(obj.name)
    where, secret = f"Secret {obj.namespace}/{name}", observed.get(kinds.SECRET, name)
    odd = _strangers(obj, secret)
    if odd is None and rotation.next is None:
        odd = _not_to_be_recorded(obj, secret)
    if odd is not None:
        return Authority(None, problem=odd)
    try:
        stored = ca_of(secret)
    except PkiError as error:
        return Authority(None, problem=CAProblem(CAReason.UNREADABLE, str(error)))
    decision = decide_next_ca(rotation, stored, now, absent=secret is None, name=where)
    if decision.action is CAAction.CREATE:
        made = new_ca(f"{obj.name}-ca-{now:%Y%m%d%H%M%S}"[:64], now)
        return Authority(made, {name: made}, name)
    if stored is None or decision.problem is not None:
        return Authority(None, problem=decision.problem)
    found = CertificateAuthority(stored.cert_pem, stored.key_pem)
    return Authority(found, {name: found})


def _strangers(obj: EtcdCluster, secret: Manifest | None) -> CAProblem | None:
    """What is to be told of a CA's Secret that somebody else has made."""
    if secret is None or roles.is_ours(secret, obj):
        return None
    where = f"Secret {obj.namespace}/{secret['metadata']['name']}"
    text = f"{where} does not belong to EtcdCluster {obj.namespace}/{obj.name}; remove it"
    return CAProblem(CAReason.CHANGED, text)


def _not_to_be_recorded(obj: EtcdCluster, secret: Manifest | None) -> CAProblem | None:
    """Why a CA that is not recorded yet is none to be used.

    One on its way out would be missing for ever as soon as it is gone.
    """
    if secret is not None and secret["metadata"].get("deletionTimestamp"):
        where = f"Secret {obj.namespace}/{secret['metadata']['name']}"
        text = f"{where} is still being removed; then another CA is made"
        return CAProblem(CAReason.MISSING, text)
    return _strangers(obj, secret)


def _holds(secret: Manifest | None, ca: CertificateAuthority) -> bool:
    try:
        stored = ca_of(secret)
    except PkiError:
        return False
    return stored is not None and stored.cert_pem == ca.cert_pem


def _is_recorded(ca: CertificateAuthority, recorded: str | None) -> bool:
    try:
        return fingerprint(ca.cert_pem) == recorded
    except PkiError:
        return False
