"""Keys of a Cluster whose etcd begins with a backup: they come along, or are asked for. Pure.

What is in etcd refers to them, so that none may be made anew: Secrets could not be read, tokens and
certificates of nodes and users would not be trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from kok import pki
from kok.api import names
from kok.api.cluster import Cluster
from kok.api.meta import Manifest
from kok.operators.cluster import reasons
from kok.operators.cluster.observe import World
from kok.operators.cluster.parts import kept_keys

RESTORED = "KeysRestored"
"""The EtcdCluster's condition: whether keys came with the backup."""
_KEY = {"ca": "tls.key", "front-proxy-ca": "tls.key", "sa": "sa.key", "encryption": "key1"}
"""The entry of each that tells it from another."""
_ENTRIES = {
    "ca": "tls.crt, tls.key",
    "front-proxy-ca": "tls.crt, tls.key",
    "sa": "sa.key",
    "encryption": "key1",
}


@dataclass(frozen=True, slots=True)
class Returned:
    """What stands in for Secrets that are not there, and why some still do not."""

    secrets: Mapping[str, Manifest] = field(default_factory=dict, repr=False)
    """By the name of the Secret that is missing, with the content that came with the backup."""
    reason: str | None = None
    """Set while keys are missing that must not be made anew."""
    message: str = ""


def returned(cluster: Cluster, world: World, secrets: Mapping[str, Manifest]) -> Returned:
    """What is known of the keys of a Cluster that begins with a backup; nothing for any other.

    `secrets` are those that there are, by name.
    """
    if cluster.spec.etcd.restore_from is None:
        return Returned()
    recorded = cluster.status.ca_fingerprints
    lacking = {
        called: name
        for called, name in kept_keys(cluster.name).items()
        if name not in secrets and name not in recorded
    }
    came = _content(world.returned_keys)
    wrong = _wrong(cluster, came, secrets)
    if wrong is not None:
        return Returned(reason=reasons.KEYS_MISSING, message=wrong)
    if not lacking:
        return Returned()
    found = {
        name: _secret(name, came[called]) for called, name in lacking.items() if called in came
    }
    left = {called: name for called, name in lacking.items() if called not in came}
    if not left:
        return Returned(found)
    known, message = _said(cluster, world)
    if not known:
        text = "waits for the keys that the backup holds"
        return Returned(found, reasons.WAITING_FOR_KEYS, f"{text}{message}")
    return Returned(found, reasons.KEYS_MISSING, _ask(cluster, left, message))


def _wrong(
    cluster: Cluster, came: Mapping[str, Mapping[str, bytes]], secrets: Mapping[str, Manifest]
) -> str | None:
    """Why what somebody brought along cannot be the key of what is in etcd, or None."""
    for called, name in kept_keys(cluster.name).items():
        entry = _KEY[called]
        theirs = came.get(called, {}).get(entry)
        ours = pki.decode(secrets.get(name), entry)
        if name in cluster.status.ca_fingerprints or not theirs or not ours or ours == theirs:
            continue
        text = f"Secret {cluster.namespace}/{name} holds {entry} {_hash(ours)}"
        if called == "encryption":
            return (
                f"Secrets in this backup are encrypted with key {_hash(theirs)}; {text}: remove it"
            )
        return f"what is in etcd belongs to {entry} {_hash(theirs)} of {called}; {text}: remove it"
    return None


def _hash(key: bytes) -> str:
    """A hash of a key tells nothing of it."""
    return f"sha256:{hashlib.sha256(key).hexdigest()}"


def _said(cluster: Cluster, world: World) -> tuple[bool, str]:
    """Whether it is known what came with the backup, and what the EtcdCluster says of it."""
    status = (world.etcd(cluster.name) or {}).get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] == RESTORED:
            message = str(condition.get("message") or "")
            if condition["status"] == "True" and world.returned_keys is None:
                # Read just before it was made, or somebody has removed it.
                return False, f": {message}, and it is not there"
            # True, and something is missing all the same: the earlier Cluster kept less.
            return True, message
    ready: Manifest = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
    if not ready.get("message"):
        return False, ""
    return False, f": EtcdCluster {names.etcd_cluster(cluster.name)}: {ready['message']}"


def _ask(cluster: Cluster, left: Mapping[str, str], why: str) -> str:
    wanted = "; ".join(
        f"Secret {cluster.namespace}/{name} with {_ENTRIES[called]}"
        for called, name in left.items()
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
