"""Which Secrets `spec.backup.keys` names: whether they may be kept, in which versions, and the content.

Who may write an EtcdCluster may not be who may read Secrets, and he also chooses to whom they are
sealed. So only Secrets that are marked for it are taken, and those that KOK made for the Cluster
which has the EtcdCluster.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from kok import pki
from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.store import BackupKeys
from kok.api.meta import GROUP, Manifest, OwnerReference
from kok.backup.encryption import sealing
from kok.backup.encryption.encryption import Key
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.objects.ownership import label_owner, label_value
from kok.operators.etcd import reasons
from kok.operators.etcd.jobs import store as stores
from kok.runtime.controller.errors import Wait

AGAIN = 10.0
"""Seconds until the next look at what is missing: nobody tells of Secrets that are not ours."""
VERSIONS = "versions:"
"""What `Bundle.versions` begins with. Earlier releases recorded a hash of the content."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is to be kept, and the key that it is sealed to."""

    content: sealing.Content = field(repr=False)
    to: Key | str = field(repr=False)
    versions: str
    """Which versions of the Secrets these are, in the words of the function `versions`."""

    @property
    def sealed_to(self) -> str:
        """The key that opens it."""
        return self.to if isinstance(self.to, str) else self.to.id.hex()


async def versions(kube: Kube, obj: EtcdCluster) -> str | None:
    """Tells whether anything that `spec.backup.keys` says has changed; None without it.

    It is made of the UIDs and versions of the Secrets, so that it tells nobody what is in them, and
    nothing but their metadata is read. Raises `Wait` for what is missing or may not be kept.
    """
    wanted = _wanted(obj)
    if wanted is None:
        return None
    seen = {}
    for name, secret in wanted.secrets.items():
        live = await _bare(kube, obj.namespace, secret)
        _judge(obj, name, secret, live)
        seen[name] = live
    policy = obj.spec.backup
    encryption = policy.encryption if policy is not None else None
    if wanted.recipient or encryption is None:
        return _told(seen, wanted.recipient, None)
    return _told(seen, encryption.key, await _bare(kube, obj.namespace, encryption.secret))


async def read(kube: Kube, obj: EtcdCluster) -> Bundle | None:
    """What `spec.backup.keys` says; None without it.

    Raises `Wait` for what is missing, may not be kept, or is more than can be: one Secret is read
    after the other, and none any more once they are too large.
    """
    wanted, policy = _wanted(obj), obj.spec.backup
    if wanted is None or policy is None:
        return None
    content: dict[str, dict[str, bytes]] = {}
    seen: dict[str, Manifest | None] = {}
    room = sealing.LIMIT
    for name, secret in wanted.secrets.items():
        live = await kube.get(kinds.SECRET, secret, obj.namespace) or {}
        _judge(obj, name, secret, live)
        room -= sum(len(entry) + len(value) for entry, value in (live.get("data") or {}).items())
        if room < 0:
            text = (
                f"{_where(obj, name, secret)} is too large: all of them together may have "
                f"{sealing.LIMIT} bytes in base64; name smaller ones, or fewer"
            )
            raise Wait(reasons.KEYS_NOT_STORED, text, after=AGAIN)
        content[name], seen[name] = entries(live), {"metadata": live["metadata"]}
        if not content[name]:
            text = f"{_where(obj, name, secret)} is empty"
            raise Wait(reasons.SECRET_MISSING, text, after=AGAIN)
    if wanted.recipient:
        return Bundle(content, wanted.recipient, _told(seen, wanted.recipient, None))
    if policy.encryption is None:
        raise AssertionError("the CRD demands a recipient or encryption")
    holder = await kube.get(kinds.SECRET, policy.encryption.secret, obj.namespace)
    key = stores.encryption_keys(holder).get(policy.encryption.key)
    if key is None:
        where = f"Secret {obj.namespace}/{policy.encryption.secret} of spec.backup.encryption"
        text = f"{where} has no key {policy.encryption.key} of 32 bytes, raw or in base64"
        raise Wait(reasons.SECRET_MISSING, text, after=AGAIN)
    return Bundle(content, key, _told(seen, policy.encryption.key, holder))


def entries(secret: Manifest | None) -> dict[str, bytes]:
    """What a Secret holds."""
    data = (secret or {}).get("data") or {}
    return {key: pki.decode(secret, key) or b"" for key in sorted(data)}


def refusal(obj: EtcdCluster, secret: Manifest) -> str | None:
    """Why the content of a Secret is not kept, as the end of a sentence; None if it may be.

    `secret` has metadata at least.
    """
    labels = secret["metadata"].get("labels") or {}
    if labels.get(names.LABEL_BACKED_UP) == "true" or _of_its_cluster(obj, secret):
        return None
    return (
        "is not marked as one whose content may go into backups; label it "
        f'{names.LABEL_BACKED_UP}: "true" if it is meant to'
    )


def _of_its_cluster(obj: EtcdCluster, secret: Manifest) -> bool:
    """Whether it is one of the keys that KOK made for the Cluster which has the EtcdCluster.

    Who writes the EtcdCluster also writes its owners, and UIDs are no secrets. What he can not write
    are the labels and owners of a Secret: so that these must name a Cluster of KOK, and not merely
    something with that UID (other projects have a kind Cluster, and Secrets of such names, too).
    """
    owner = next((o for o in obj.metadata.owner_references if o.controller), None)
    if owner is None or not _is_cluster(owner.kind, owner.api_version):
        return False
    meta = secret["metadata"]
    return (
        obj.name == names.etcd_cluster(owner.name)
        and meta["name"] in names.kept_keys(owner.name).values()
        and (_is_held_by(secret, owner) or _is_owned_by(secret, owner))
    )


def _is_held_by(secret: Manifest, owner: OwnerReference) -> bool:
    """As the keys are: their labels, which are KOK's own, name the Cluster, and nobody controls them."""
    labels = secret["metadata"].get("labels") or {}
    held = label_owner(secret) == (owner.kind, label_value(owner.name))
    return held and labels.get(names.LABEL_OWNER_UID) == owner.uid


def _is_owned_by(secret: Manifest, owner: OwnerReference) -> bool:
    """As earlier releases made them."""
    return any(
        _is_cluster(reference.get("kind"), reference.get("apiVersion"))
        and (reference.get("name"), reference.get("uid")) == (owner.name, owner.uid)
        for reference in secret["metadata"].get("ownerReferences") or ()
        if reference.get("controller")
    )


def _is_cluster(kind: object, api_version: object) -> bool:
    return kind == "Cluster" and str(api_version).partition("/")[0] == GROUP


def _wanted(obj: EtcdCluster) -> BackupKeys | None:
    policy = obj.spec.backup
    if policy is None or policy.keys is None:
        return None
    if not policy.keys.secrets:
        text = "spec.backup.keys.secrets names no Secret whose content is to be kept"
        raise Wait(reasons.SECRET_MISSING, text, after=AGAIN)
    return policy.keys


def _judge(obj: EtcdCluster, name: str, secret: str, live: Manifest | None) -> None:
    if not live:
        text = f"{_where(obj, name, secret)} does not exist"
        raise Wait(reasons.SECRET_MISSING, text, after=AGAIN)
    why = refusal(obj, live)
    if why is not None:
        text = f"{_where(obj, name, secret)} {why}"
        raise Wait(reasons.SECRET_NOT_MARKED, text, after=AGAIN)


def _where(obj: EtcdCluster, name: str, secret: str) -> str:
    return f"Secret {obj.namespace}/{secret} of spec.backup.keys.secrets.{name}"


async def _bare(kube: Kube, namespace: str, name: str) -> Manifest | None:
    """A Secret without its content."""
    only = {"metadata.name": name}
    found = await kube.list(kinds.SECRET, namespace, fields=only, bare=True, most=1)
    return next(iter(found), None)


def _told(seen: dict[str, Manifest | None], to: str, holder: Manifest | None) -> str:
    """`holder` is the Secret of the key named `to`, if that is not the key itself."""
    stamps = {name: _stamp(live) for name, live in seen.items()}
    text = json.dumps([stamps, to, _stamp(holder)], sort_keys=True)
    return VERSIONS + hashlib.sha256(text.encode()).hexdigest()


def _stamp(live: Manifest | None) -> list[str] | None:
    meta = live["metadata"] if live else None
    return [meta["uid"], meta["resourceVersion"]] if meta else None


def is_current(obj: EtcdCluster, versions: str) -> bool:
    """Whether etcd holds what `bundle.versions` tells of."""
    kept = obj.status.keys
    return kept is not None and (kept.content, kept.data) == (versions, data_of(obj))


def is_of_earlier_release(obj: EtcdCluster) -> bool:
    """Whether what etcd holds was recorded by its content, which nobody compares any more."""
    kept = obj.status.keys
    return kept is not None and not kept.content.startswith(VERSIONS)


def data_of(obj: EtcdCluster) -> str:
    """Which data it has: the UID of the latest restore, else the ID of the etcd cluster, or empty."""
    status = obj.status
    return status.restored.uid if status.restored is not None else status.cluster_id or ""
