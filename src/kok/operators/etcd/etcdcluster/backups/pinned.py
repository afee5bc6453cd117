"""Backups that an EtcdRestore is about to use, which nobody but people may remove. Pure.

Of restores no more is looked at than says which backup is meant, so that one that cannot be read
counts as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.meta import Manifest

_OVER = {"Complete", "Failed"}


def gist(restore: Manifest) -> Manifest:
    """For `keep` of a list: what `is_pinned` reads."""
    spec, status = _map(restore, "spec"), _map(restore, "status")
    return {
        "spec": {"backup": spec.get("backup"), "key": spec.get("key")},
        "status": {
            "phase": status.get("phase"),
            "source": {"key": _map(status, "source").get("key")},
        },
    }


def elsewhere(namespace: str, restore: Manifest) -> Manifest | None:
    """For `keep` of a list: the same of one in another namespace, if it means a backup of this one.

    It can mean it only by its key. Which store it names is not compared: one bucket has many
    addresses, and a part of the EtcdBackup's UID stands in the key, so that nobody names it by chance.
    """
    if restore["metadata"].get("namespace") == namespace:
        return None
    found = gist(restore)
    found["spec"]["backup"] = None
    keys = found["spec"]["key"], found["status"]["source"]["key"]
    return found if any(str(key).startswith(f"{namespace}/") for key in keys) else None


def is_pinned(backup: EtcdBackup, restores: Iterable[Manifest]) -> bool:
    """Whether a restore that has not come to its end names a backup, or has found it in a store."""
    key = backup.status.key
    for restore in restores:
        spec, status = restore["spec"], restore["status"]
        if status["phase"] in _OVER:
            continue
        keys = {spec["key"], status["source"]["key"]}
        if spec["backup"] == backup.name or (key is not None and key in keys):
            return True
    return False


def _map(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = of.get(key)
    return found if isinstance(found, Mapping) else {}
