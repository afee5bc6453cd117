"""Which certificates an EtcdCluster needs, and what has to be done about them. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCertificate, EtcdCluster
from kok.api.fields import span
from kok.api.meta import Manifest
from kok.operators.etcd import naming
from kok.pki import (
    CA_CRT,
    TLS_CRT,
    CAAction,
    CAProblem,
    CAReason,
    CertificateAuthority,
    Leaf,
    LeafSpec,
    PkiError,
    Reason,
    Usage,
    ca_of,
    certificate_info,
    decide_ca,
    decode,
    fingerprint,
    issue,
    leaf_of,
    must_renew,
    new_ca,
)


@dataclass(frozen=True)
class Authority:
    """What is to be done about the CA. `ca` is None exactly if there is a `problem`."""

    ca: CertificateAuthority | None
    """It signs; its bundle is trusted as well."""
    kept: Mapping[str, CertificateAuthority] = field(default_factory=dict)
    """What the Secrets of CAs are to hold, by name."""
    made: str | None = None
    """The one of these that was made just now, and whose Secret does not exist yet."""
    trusted_now: bool = False
    """It takes the place of another one, because the user said so."""
    problem: CAProblem | None = None

    @property
    def new(self) -> bool:
        """Whether there was no CA before."""
        return self.made is not None and len(self.kept) == 1

    @property
    def fingerprint(self) -> str:
        """What to record before it is used."""
        return fingerprint(self.ca.cert_pem) if self.ca is not None else ""


@dataclass(frozen=True)
class Leaves:
    """The certificates by Secret name, as they are to be, and why some were issued anew."""

    wanted: Mapping[str, Leaf]
    issued: Mapping[str, Reason] = field(default_factory=dict)


def authority(
    obj: EtcdCluster, secret: Manifest | None, latched: str | None, now: datetime
) -> Authority:
    """The CA to use: the one in its Secret, a new one if there never was one, or none.

    `latched` is the recorded fingerprint. Another CA than that is accepted only if the user names
    its fingerprint in the annotation `kok.dev/trust-ca`.
    """
    name = names.etcd_ca_secret(obj.name)
    where = f"Secret {obj.namespace}/{name}"
    try:
        stored = ca_of(secret)
    except PkiError as error:
        return Authority(None, problem=CAProblem(CAReason.UNREADABLE, str(error)))
    # Only the signer is trusted: what else stands in the Secret's ca.crt is not of our making.
    found = CertificateAuthority(stored.cert_pem, stored.key_pem) if stored else None
    cert, key = (found.cert_pem, found.key_pem) if found else (None, None)
    decision = decide_ca(cert, key, now, latched_fingerprint=latched, name=where)
    if decision.action is CAAction.CREATE and secret is None:
        made = new_ca(f"{obj.name}-ca"[:64], now)
        return Authority(made, {name: made}, name)
    if decision.action is CAAction.USE and found is not None:
        return Authority(found, {name: found})
    if decision.problem is None:
        text = f"{where} exists but holds no CA; delete it to get a new one, or fill tls.crt and tls.key"
        return Authority(None, problem=CAProblem(CAReason.MISSING, text))
    wanted = obj.metadata.annotations.get(names.ANNOTATION_TRUST_CA, "")
    if decision.problem.reason is CAReason.CHANGED and found is not None:
        seen = fingerprint(found.cert_pem)
        if same_fingerprint(wanted, seen):
            # Everything but the record is still to be checked.
            again = decide_ca(cert, key, now, latched_fingerprint=seen, name=where)
            if again.problem is None:
                return Authority(found, {name: found}, trusted_now=True)
    return Authority(None, problem=_with_way_out(decision.problem, obj))


def same_fingerprint(one: str, other: str) -> bool:
    """Whether two fingerprints are equal, with or without `sha256:`, colons and capitals."""

    def bare(text: str) -> str:
        return text.strip().lower().removeprefix("sha256:").replace(":", "")

    return bool(bare(one)) and bare(one) == bare(other)


def _with_way_out(problem: CAProblem, obj: EtcdCluster) -> CAProblem:
    """Adds how to go on with another CA, where the recorded one is really lost."""
    if problem.reason not in {CAReason.CHANGED, CAReason.MISSING}:
        return problem
    what = "the CA that is there" if problem.reason is CAReason.CHANGED else "another CA"
    text = (
        f"{problem.message}; or, to go on with {what}, annotate EtcdCluster {obj.namespace}/"
        f"{obj.name} with {names.ANNOTATION_TRUST_CA}=<its fingerprint>: all members are then "
        "restarted at once"
    )
    return CAProblem(problem.reason, text)


def leaf_specs(obj: EtcdCluster) -> dict[str, LeafSpec]:
    """What each certificate is to be, by Secret name.

    Members serve and call with the same certificate: peers do both, and etcd's JSON gateway
    calls its own server with the server's certificate.
    """
    lifetime = span(obj.spec.tls.leaf_duration)
    members = f"*.{naming.peer_service(obj.name)}.{obj.namespace}.svc"
    service = names.etcd_client_service(obj.name)
    return {
        naming.peer_secret(obj.name): LeafSpec(
            naming.PEER_COMMON_NAME, dns_names=[members], usages=Usage.BOTH, lifetime=lifetime
        ),
        naming.server_secret(obj.name): LeafSpec(
            naming.SERVER_COMMON_NAME,
            dns_names=[
                members,
                service,
                f"{service}.{obj.namespace}",
                naming.client_host(obj.name, obj.namespace),
                "localhost",
            ],
            ip_addresses=["127.0.0.1", "::1"],
            usages=Usage.BOTH,
            lifetime=lifetime,
        ),
        names.etcd_client_secret(obj.name): LeafSpec(
            naming.CLIENT_COMMON_NAME, usages=Usage.CLIENT, lifetime=lifetime
        ),
    }


def leaves(
    obj: EtcdCluster,
    ca: CertificateAuthority,
    secrets: Mapping[str, Manifest],
    now: datetime,
) -> Leaves:
    """Keeps what is good and issues the rest anew."""
    wanted: dict[str, Leaf] = {}
    issued: dict[str, Reason] = {}
    for name, spec in leaf_specs(obj).items():
        try:
            leaf = leaf_of(secrets.get(name))
        except PkiError:
            leaf = None
        reason = must_renew(leaf, spec, ca, now, span(obj.spec.tls.renew_before))
        if reason is not None or leaf is None:
            leaf = issue(ca, spec, now)
        if reason is not None:
            issued[name] = reason
        wanted[name] = leaf
    return Leaves(wanted, issued)


def dates(obj: EtcdCluster, secrets: Mapping[str, Manifest]) -> list[EtcdCertificate]:
    """What the status tells of the certificates that can be read; sorted by name."""
    before = span(obj.spec.tls.renew_before)
    found: list[EtcdCertificate] = []
    for name in sorted((names.etcd_ca_secret(obj.name), *naming.leaf_secrets(obj.name))):
        try:
            pem = decode(secrets.get(name), TLS_CRT)
            info = certificate_info(pem, before) if pem else None
        except PkiError:
            continue
        if info is not None:
            found.append(
                EtcdCertificate(name=name, not_after=info.not_after, renew_at=info.renew_at)
            )
    return found


def invalid_at(obj: EtcdCluster, secrets: Mapping[str, Manifest], clock: datetime) -> str | None:
    """What certificates are for one whose clock shows this time; None if all are valid."""
    for name in (names.etcd_ca_secret(obj.name), *naming.leaf_secrets(obj.name)):
        try:
            pem = decode(secrets.get(name), TLS_CRT)
            info = certificate_info(pem) if pem else None
        except PkiError:
            continue
        if info is not None and clock < info.not_before:
            return "are not valid yet"
        if info is not None and clock > info.not_after:
            return "have ended"
    return None


def missing_leaves(obj: EtcdCluster, secrets: Mapping[str, Manifest]) -> list[str]:
    """Secrets of certificates that are not there or hold nothing readable."""
    readable = {one.name for one in dates(obj, secrets)}
    return [name for name in naming.leaf_secrets(obj.name) if name not in readable]


def trust_of(secret: Manifest | None) -> bytes | None:
    """The CA certificates in the Secret of a leaf."""
    try:
        return decode(secret, CA_CRT)
    except PkiError:
        return None
