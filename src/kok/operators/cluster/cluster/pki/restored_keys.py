"""Keys of a Cluster whose etcd begins with a backup: they come along, or are asked for. Pure.

What is in etcd refers to them, so that none may be made anew: Secrets could not be read, tokens and
certificates of nodes and users would not be trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kok import pki
from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.conditions import KEYS_RESTORED, READY
from kok.api.meta import Manifest
from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.observe import ClusterView
from kok.operators.cluster.cluster.pki.keys import (
    encryption_fingerprint,
    service_account_fingerprint,
)
from kok.operators.cluster.naming import ENCRYPTION_KEY, SA_KEY, kept_keys, key_entries

_NAMED = 5
"""Entries of a Secret that a sentence names."""
_Entries = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class RestoredKeys:
    """What stands in for Secrets that are not there, and why some still do not."""

    secrets: Mapping[str, Manifest] = field(default_factory=dict, repr=False)
    """By the name of the Secret that is missing, with the content that came with the backup."""
    refused: frozenset[str] = frozenset()
    """Secrets that are there and do not hold the key of what is in etcd."""
    reason: str | None = None
    """Set while keys are missing that must not be made anew."""
    message: str = ""

    def instead_of(self, secrets: Mapping[str, Manifest]) -> dict[str, Manifest]:
        """The Secrets whose keys may be used, of those that there are and those that came."""
        usable = {name: live for name, live in secrets.items() if name not in self.refused}
        return {**usable, **self.secrets}


def restored_keys(
    cluster: Cluster, view: ClusterView, secrets: Mapping[str, Manifest], now: datetime
) -> RestoredKeys:
    """What is known of the keys of a Cluster that begins with a backup; nothing for any other.

    `secrets` are those that there are, by name. A key is there if the entry that is needed holds
    it: a Secret that is empty, or has it under another name, is none.
    """
    if cluster.spec.etcd.restore_from is None:
        return RestoredKeys()
    # What was in use is judged by its record, as that of any Cluster.
    recorded = cluster.status.ca_fingerprints
    open_ = {c: name for c, name in kept_keys(cluster.name).items() if name not in recorded}
    judge = _Judge(cluster, _content(view.backup_keys), secrets, now)
    faults = {name: why for c, name in open_.items() if (why := judge.fault(c, name)) is not None}
    lacking = {called: name for called, name in open_.items() if name not in secrets}
    found = {
        name: _secret(name, judge.came[called])
        for called, name in lacking.items()
        if called in judge.came and name not in faults
    }
    left = {called: name for called, name in lacking.items() if called not in judge.came}
    refused = frozenset(faults)
    if not faults and not left:
        return RestoredKeys(found)
    known, message = _said(cluster, view)
    if not faults and not known:
        text = "waits for the keys that the backup holds"
        return RestoredKeys(found, refused, reasons.WAITING_FOR_KEYS, f"{text}{message}")
    said = [*faults.values()]
    if left and known:
        said.append(_ask(cluster, left, message))
    return RestoredKeys(found, refused, reasons.KEYS_MISSING, ". ".join(said))


@dataclass(frozen=True, slots=True)
class _Judge:
    """Judges keys by the entries that are needed."""

    cluster: Cluster
    came: Mapping[str, _Entries]
    secrets: Mapping[str, Manifest]
    now: datetime

    def fault(self, called: str, name: str) -> str | None:
        """Why a Secret, or what came in its stead, cannot be the key of what is in etcd."""
        where = f"Secret {self.cluster.namespace}/{name}"
        brought = self.came.get(called)
        wrong = None if brought is None else self._unusable(self._came(called), name, brought)
        live = self.secrets.get(name)
        if live is None:
            wanted = ", ".join(key_entries(name))
            return wrong and f"{wrong}; create {where} with {wanted}, as they were there"
        ours = {entry: pki.decode(live, entry) or b"" for entry in live.get("data") or {}}
        why = self._unusable(where, name, ours)
        if why is not None:
            # Nothing is written into what somebody else has made.
            if brought is not None and wrong is None:
                return f"{why}; remove it, and the key that came with the backup takes its place"
            return f"{why}; put in the key of the Cluster that was backed up, or remove the Secret"
        if brought is None or wrong is not None:
            return None
        # Of two entries the second is the private half.
        entry = key_entries(name)[-1]
        return (
            None if ours[entry] == brought[entry] else _differs(where, called, entry, ours, brought)
        )

    def _came(self, called: str) -> str:
        secret = names.etcd_keys_secret(names.etcd_cluster(self.cluster.name))
        return f"{called} in Secret {self.cluster.namespace}/{secret}, which came with the backup,"

    def _unusable(self, where: str, name: str, entries: _Entries) -> str | None:
        wanted = key_entries(name)
        for entry in wanted:
            if entry not in entries:
                there = ", ".join(sorted(entries)[:_NAMED])
                return f"{where} has no entry {entry} (it has {there or 'none'})"
            if not entries[entry].strip():
                return f"{where} has nothing in its entry {entry}"
        if SA_KEY not in wanted and ENCRYPTION_KEY not in wanted:
            return self._no_authority(where, entries)
        try:
            if SA_KEY in wanted:
                service_account_fingerprint(entries[SA_KEY])
            else:
                encryption_fingerprint(entries[ENCRYPTION_KEY])
        except pki.PkiError as error:
            return f"{where} has an entry {wanted[0]} that cannot be used: {error}"
        return None

    def _no_authority(self, where: str, entries: _Entries) -> str | None:
        cert, key = entries[pki.TLS_CRT], entries[pki.TLS_KEY]
        problem = pki.check_ca(cert, key, self.now, name=where)
        # One whose time is over is the right one all the same: that has a reason of its own.
        ended = {pki.CAReason.EXPIRED, pki.CAReason.NOT_YET_VALID}
        return None if problem is None or problem.reason in ended else problem.message


def _differs(where: str, called: str, entry: str, ours: _Entries, theirs: _Entries) -> str:
    text = f"{where} holds {entry} {_hash(ours[entry])}: remove it"
    right = _hash(theirs[entry])
    if called == "encryption":
        return f"Secrets in this backup are encrypted with key {right}; {text}"
    return f"what is in etcd belongs to {entry} {right} of {called}; {text}"


def _hash(key: bytes) -> str:
    """A hash of a key tells nothing of it."""
    return f"sha256:{hashlib.sha256(key).hexdigest()}"


def _said(cluster: Cluster, view: ClusterView) -> tuple[bool, str]:
    """Whether it is known what came with the backup, and what the EtcdCluster says of it."""
    said = view.etcd_contract(cluster.name).conditions
    if (restored := said.get(KEYS_RESTORED)) is not None:
        if restored.holds and view.backup_keys is None:
            # Read just before it was made, or somebody has removed it.
            return False, f": {restored.message}, and it is not there"
        # True, and something is missing all the same: the earlier Cluster kept less.
        return True, restored.message
    ready = said.get(READY)
    if ready is None or not ready.message:
        return False, ""
    return False, f": EtcdCluster {names.etcd_cluster(cluster.name)}: {ready.message}"


def _ask(cluster: Cluster, left: Mapping[str, str], why: str) -> str:
    wanted = "; ".join(
        f"Secret {cluster.namespace}/{name} with {', '.join(key_entries(name))}"
        for name in left.values()
    )
    return (
        f"what is in etcd belongs to the keys of the Cluster that was backed up, and they are not "
        f"here ({why}). Secrets in this backup are encrypted with its key, and its nodes and users "
        f"trust its CA: create {wanted}, as they were there"
    )


def _content(secret: Manifest | None) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for key in (secret or {}).get("data") or {}:
        called, _, entry = key.partition(".")
        found.setdefault(called, {})[entry] = pki.decode(secret, key) or b""
    return found


def _secret(name: str, entries: Mapping[str, bytes]) -> Manifest:
    return {"metadata": {"name": name}, "data": pki.encode(dict(entries))}
