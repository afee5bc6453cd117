"""Keys that are kept in etcd, sealed, so that each backup holds them; and given back after a restore.

An etcd of a business cluster is of no use without the Cluster's keys: Secrets are encrypted by one,
tokens are signed by another, nodes and users trust the CA. Where `spec.backup.keys` is set, what the
named Secrets hold is sealed and put into etcd itself, where every snapshot takes it along. A new
EtcdCluster that begins with a backup opens them and puts them into a Secret, for whoever needs them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kok import pki
from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.etcd.status import EtcdKeys, EtcdKeysReturned
from kok.api.etcd.store import BackupEncryption
from kok.api.meta import Manifest
from kok.backup.encryption import sealing
from kok.backup.encryption.encryption import Key
from kok.backup.encryption.sealing import SealError
from kok.backup.errors import WorkerError
from kok.etcdclient.client import EtcdClient
from kok.etcdclient.model import EtcdError
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.objects.ownership import owned, owned_by
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.backups import keys
from kok.operators.etcd.backups.keys import AGAIN, data_of, is_current, is_of_earlier_release
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.observed.answers import connect
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.jobs import store as stores
from kok.operators.etcd.pods import pod_address
from kok.runtime.conditions import Verdict
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Pass


async def keep(
    p: Pass[EtcdCluster],
    obj: EtcdCluster,
    observed: Observed,
    restores: Sequence[EtcdRestore],
    outcome: Outcome,
    *,
    available: bool,
    due: bool,
) -> float | None:
    """Opens what came with a backup, then keeps what is to be kept; seconds until the next look.

    `available`: etcd can be read and written; `due`: a backup is about to be made, which must hold
    what there is now.
    """
    policy, status = obj.spec.backup, obj.status
    stores = policy is not None and policy.keys is not None
    opens = obj.spec.restore_from is not None and status.keys_returned is None
    if not stores:
        status.keys = None
        outcome.verdicts[reasons.KEYS_STORED_CONDITION] = None
    early = status.restore is not None and status.restore.step != "Growing"
    if early or not available:
        return None
    # Others wait for what came with the backup; what there is now is kept when all is done.
    stores = stores and status.restore is None
    address = _address(obj, observed)
    if address is None or not (opens or (stores and _to_be_checked(obj, due=due))):
        return None
    try:
        async with connect(obj, observed) as client:
            if opens and status.restored is not None:
                encryption = _encryption(obj, restores)
                said = await _give_back(p, obj, client, address, encryption)
                outcome.verdicts[reasons.KEYS_RESTORED_CONDITION] = said
            if stores:
                kept = await _store(p, obj, client, address)
                if kept is not None:
                    outcome.verdicts[reasons.KEYS_STORED_CONDITION] = kept
    except EtcdError as error:
        p.log.info("the keys in etcd cannot be looked at", why=error.message)
        return AGAIN
    lacks = stores and not _is_stored(obj, outcome)
    closed = obj.spec.restore_from is not None and status.keys_returned is None
    return AGAIN if lacks or closed else None


def _to_be_checked(obj: EtcdCluster, *, due: bool) -> bool:
    """At rest nobody reads Secrets again and again: they are looked at before each backup."""
    status = obj.status
    said = status.condition(reasons.KEYS_STORED_CONDITION)
    fresh = (
        said is not None
        and said.status == "True"
        and said.observed_generation == obj.metadata.generation
    )
    kept = status.keys
    if due or not fresh or kept is None or kept.data != data_of(obj):
        return True
    # By a hash of the content a password could be guessed.
    return is_of_earlier_release(obj)


def _is_stored(obj: EtcdCluster, outcome: Outcome) -> bool:
    said = outcome.verdicts.get(reasons.KEYS_STORED_CONDITION)
    if said is not None:
        return said.holds is True
    return obj.status.is_true(reasons.KEYS_STORED_CONDITION)


async def _store(
    p: Pass[EtcdCluster], obj: EtcdCluster, client: EtcdClient, address: str
) -> Verdict | None:
    """Whether they are kept; None where nobody has said what is to be kept."""
    try:
        wanted = await keys.read(p.kube, obj)
        if wanted is None:
            return None
        if not is_current(obj, wanted.versions):
            await _write(p, obj, wanted, client, address)
    except Wait as wait:
        return Verdict(False, wait.reason, wait.message)
    except (SealError, WorkerError) as error:
        return Verdict(False, reasons.KEYS_NOT_STORED, f"the keys cannot be kept: {error}")
    text = f"{', '.join(sorted(wanted.content))}: kept in etcd, sealed to {wanted.sealed_to}"
    return Verdict(True, reasons.KEYS_SEALED, text)


async def _write(
    p: Pass[EtcdCluster], obj: EtcdCluster, wanted: keys.Bundle, client: EtcdClient, address: str
) -> None:
    there = await client.read(address, sealing.WHERE)
    if there is not None and await asyncio.to_thread(
        sealing.holds, there, wanted.content, wanted.to
    ):
        # A pass that was cut off before it was recorded has put them there.
        sealed = there
    else:
        if there is not None:
            await _put_aside(obj, client, address, there)
        sealed = await asyncio.to_thread(sealing.seal, wanted.content, wanted.to)
        await client.write(address, sealing.WHERE, sealed)
    obj.status.keys = EtcdKeys(
        content=wanted.versions,
        sealed_to=wanted.sealed_to,
        sha256=sealing.digest(sealed) or "",
        data=data_of(obj),
    )
    p.event(reasons.KEYS_SEALED, f"keys are kept in etcd, sealed to {wanted.sealed_to}")


async def _put_aside(obj: EtcdCluster, client: EtcdClient, address: str, there: bytes) -> None:
    """What came with the backup and nobody could open yet is kept, once."""
    if obj.spec.restore_from is None or obj.status.keys_returned is not None:
        return
    aside = sealing.aside(data_of(obj))
    if await client.read(address, aside) is None:
        await client.write(address, aside, there)


async def _give_back(
    p: Pass[EtcdCluster],
    obj: EtcdCluster,
    client: EtcdClient,
    address: str,
    encryption: BackupEncryption | None,
) -> Verdict:
    """Whether what came with the backup is in its Secret now."""
    sealed = await client.read(address, sealing.aside(data_of(obj)))
    if sealed is None:
        sealed = await client.read(address, sealing.WHERE)
    now = p.now.replace(microsecond=0)
    if sealed is None:
        text = "the backup holds no keys: spec.backup.keys was not set where it was made"
        obj.status.keys_returned = EtcdKeysReturned(secret="", at=now)
        return Verdict(False, reasons.KEYS_MISSING, text)
    keys = await _keys(p.kube, obj.namespace, encryption) if encryption is not None else {}
    try:
        private = await _private_key(p.kube, obj)
        content = await asyncio.to_thread(sealing.unseal, sealed, keys.values(), private)
    except SealError as error:
        text = f"the keys in the backup cannot be opened: {error}; {_way_out(obj, sealed)}"
        return Verdict(False, reasons.KEYS_MISSING, text)
    name = names.etcd_keys_secret(obj.name)
    live = await p.kube.get(kinds.SECRET, name, obj.namespace)
    if live is None:
        live = await p.kube.create(_secret(obj, content))
    # Also one that names this EtcdCluster as its owner may be somebody else's work.
    if not owned_by(live, obj) or (live.get("data") or {}) != _secret(obj, content)["data"]:
        text = (
            f"Secret {obj.namespace}/{name} exists already and does not belong to this "
            "EtcdCluster, or holds something else than what came with the backup; remove it"
        )
        return Verdict(False, reasons.NAME_TAKEN, text)
    obj.status.keys_returned = EtcdKeysReturned(secret=name, at=now)
    text = f"Secret {obj.namespace}/{name} holds what came with the backup: {', '.join(content)}"
    p.event(reasons.KEYS_OPENED, text)
    return Verdict(True, reasons.KEYS_OPENED, text)


def _way_out(obj: EtcdCluster, sealed: bytes) -> str:
    try:
        to = sealing.parse(sealed).to
    except SealError:
        return "bring the keys along by hand"
    if to == "recipient":
        return (
            f"put the private key into a Secret of namespace {obj.namespace} and name that in "
            "restoreFrom.privateKey"
        )
    return "add that key to the Secret of restoreFrom.encryption"


def _secret(obj: EtcdCluster, content: sealing.Content) -> Manifest:
    data = {
        f"{name}.{entry}": value
        for name, entries in content.items()
        for entry, value in entries.items()
    }
    return owned(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": names.etcd_keys_secret(obj.name),
                "labels": {naming.LABEL_NAME: "etcd"},
            },
            "data": pki.encode(data),
        },
        obj,
    )


async def _keys(kube: Kube, namespace: str, encryption: BackupEncryption) -> dict[str, Key]:
    live = await kube.get(kinds.SECRET, encryption.secret, namespace)
    return stores.encryption_keys(live)


async def _private_key(kube: Kube, obj: EtcdCluster) -> str | None:
    source = obj.spec.restore_from
    wanted = source.private_key if source is not None else None
    if wanted is None:
        return None
    raw = pki.decode(await kube.get(kinds.SECRET, wanted.secret, obj.namespace), wanted.key)
    if not raw:
        where = f"Secret {obj.namespace}/{wanted.secret} of restoreFrom.privateKey"
        raise SealError(f"{where} has no {wanted.key}")
    return raw.decode("ascii", "replace")


def _encryption(obj: EtcdCluster, restores: Sequence[EtcdRestore]) -> BackupEncryption | None:
    """The Secret of the backup's keys, also where the backup is named by its EtcdBackup."""
    source = obj.spec.restore_from
    if source is not None and source.encryption is not None:
        return source.encryption
    made = next((r for r in restores if r.name == naming.restore_from(obj.name)), None)
    found = made.status.source if made is not None else None
    return found.encryption if found is not None else None


def _address(obj: EtcdCluster, observed: Observed) -> str | None:
    """A member of this cluster that answers with a quorum behind it."""
    for name in roles.lists_by_member(obj, observed):
        address = pod_address(observed.get(kinds.POD, naming.pod_name(name)))
        if address is not None:
            return naming.pod_endpoint(address)
    return None
