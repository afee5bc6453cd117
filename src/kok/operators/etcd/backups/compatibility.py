"""Whether a backup can become the data of an EtcdCluster. Pure."""

from __future__ import annotations

from kok.api.etcd.store import StoredBackup
from kok.backup.description import Description
from kok.versions import UnknownVersion, etcd, parse


def misfit(backup: StoredBackup, version: str) -> str | None:
    """Why etcd of `version` cannot be given the backup, as a sentence; None if it can."""
    try:
        etcd(backup.etcd_version)
        made, wanted = parse(backup.etcd_version).line, parse(version).line
    except (UnknownVersion, ValueError) as error:
        return f"the backup cannot be restored by this release: {error}"
    if made > wanted:
        return (
            f"the backup was made of etcd {backup.etcd_version}, which etcd {version} cannot read; "
            f"restore it into an EtcdCluster of version {made} or later"
        )
    if (made.major, made.minor + 1) < (wanted.major, wanted.minor):
        return (
            f"the backup was made of etcd {backup.etcd_version}, and etcd {version} is more than "
            "one minor later; restore it into an EtcdCluster of the next minor, then upgrade"
        )
    return None


def other_origin(newest: Description, wanted: str) -> str | None:
    """Why what lies where the backups of an EtcdCluster are looked for is none of it, or None."""
    told = f"{newest.origin.namespace}/{newest.origin.name}"
    if told == wanted:
        return None
    return (
        f"{newest.key}, the newest backup below {wanted}, was made of EtcdCluster {told} and put "
        "there by somebody; name it by key if it is what you want"
    )
