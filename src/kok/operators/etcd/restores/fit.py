"""Whether a backup can become the data of an EtcdCluster. Pure."""

from __future__ import annotations

from kok.api.etcdstore import StoredBackup
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
