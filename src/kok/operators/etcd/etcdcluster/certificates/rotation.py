"""The CAs of an EtcdCluster: the one in use, and the next one while it takes its place.

    Trust     a next CA is made; the Secrets of all certificates tell to trust both
    Reissue   certificates come from the next one
    Drop      the next one takes the place of the earlier one, and alone is trusted

In each phase the Secrets change first. Once they are seen to have changed, members are restarted
one by one and API servers by the operator that has them (`status.caRotation.clients`), and only
when all have arrived the next phase is recorded. What dies meanwhile comes back in this phase or in
the one before, which trust each other. Pure functions.
"""

from __future__ import annotations

from datetime import datetime

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.status import EtcdCARotation
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
    decide_ca,
    fingerprint,
    new_ca,
)


def authority(obj: EtcdCluster, observed: Observed, now: datetime) -> Authority:
    """Who signs, whom everybody trusts, and what the Secrets of CAs are to hold."""
    own = names.etcd_ca_secret(obj.name)
    recorded, secret = obj.status.ca_fingerprint, observed.get(kinds.SECRET, own)
    if recorded is None and (odd := _not_to_be_recorded(obj, secret)) is not None:
        return Authority(None, problem=odd)
    found = certificates.authority(obj, secret, recorded, now)
    rotation = trust.under_way(obj.status)
    if rotation is None:
        return found
    if rotation.phase == "Drop":
        return _in_its_place(obj, observed, found)
    if found.ca is None or found.trusted_now:
        return found
    following = _following(obj, observed, rotation, now)
    if following.ca is None:
        return following
    signer, other = found.ca, following.ca
    if rotation.phase == "Reissue":
        signer, other = other, signer
    both = CertificateAuthority(signer.cert_pem, signer.key_pem, other.cert_pem)
    return Authority(both, {**found.kept, **following.kept}, following.made)


def following_fingerprint(obj: EtcdCluster, ca: Authority) -> str | None:
    """Fingerprint of the next CA, to be recorded before anybody trusts it."""
    found = ca.kept.get(naming.next_ca_secret(obj.name))
    return fingerprint(found.cert_pem) if found is not None else None


def end_at_once(obj: EtcdCluster, ca: Authority, now: datetime) -> None:
    """Another CA was trusted at once: whoever reads it only at its start is to hear of it as well."""
    before = obj.status.ca_rotation
    obj.status.ca_rotation = EtcdCARotation(
        request=before.request if before is not None else "",
        phase="Done",
        since=now.replace(microsecond=0),
        next=ca.fingerprint,
        clients=before.clients if before is not None else "",
    )


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
    obj: EtcdCluster, observed: Observed, rotation: EtcdCARotation, now: datetime
) -> Authority:
    """The next CA. While no certificate is signed by it, one that is gone is made anew."""
    name = naming.next_ca_secret(obj.name)
    where, secret = f"Secret {obj.namespace}/{name}", observed.get(kinds.SECRET, name)
    first = rotation.phase == "Trust"
    if secret is None and first:
        made = new_ca(f"{obj.name}-ca-{now:%Y%m%d%H%M%S}"[:64], now)
        return Authority(made, {name: made}, name)
    odd = _strangers(obj, secret)
    if odd is None and rotation.next is None:
        odd = _not_to_be_recorded(obj, secret)
    if odd is not None:
        return Authority(None, problem=odd)
    try:
        stored = ca_of(secret)
    except PkiError as error:
        return Authority(None, problem=CAProblem(CAReason.UNREADABLE, str(error)))
    cert, key = (stored.cert_pem, stored.key_pem) if stored is not None else (None, None)
    decision = decide_ca(cert, key, now, latched_fingerprint=rotation.next, name=where)
    if decision.action is CAAction.USE and stored is not None:
        found = CertificateAuthority(stored.cert_pem, stored.key_pem)
        return Authority(found, {name: found})
    said = decision.problem or CAProblem(CAReason.MISSING, f"{where} holds no CA")
    way_out = "; or delete it to have another one made" if first else ""
    return Authority(None, problem=CAProblem(said.reason, said.message + way_out))


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
