"""The status of an EtcdCluster: its members, what is done about them, and what is known of them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from kok.api.etcd.store import StoredBackup
from kok.api.meta import ApiModel, Status


class EtcdMember(ApiModel):
    """One member as last seen."""

    name: str
    """Name of the member, its StatefulSet and its volume; never used again."""
    state: Literal["Joining", "Member", "Leaving", "Left"] = "Member"
    """`Joining`: on its way to a vote; `Leaving`: to be removed; `Left`: its remains are removed."""
    id: str | None = None
    """Member ID as etcd prints it, in hexadecimal; a member that has one never starts empty."""
    role: Literal["Leader", "Follower", "Learner", "Unknown"] = "Unknown"
    """Its part in raft."""
    ready: bool = False
    """Whether it answers its readiness probe and takes part in quorum."""
    version: str | None = None
    """The version that runs."""
    storage_version: str | None = None
    """Version of the storage format that it has, where etcd tells it (from 3.6 on)."""
    node: str | None = None
    """The meta node that it runs on."""
    db_size: int | None = None
    """Size of its database file in bytes."""
    in_use: int | None = None
    """Bytes of the database file that hold data."""
    quota_used: int | None = None
    """Size of its database file in percent of the quota; at 100 etcd refuses writes."""
    raft_lag: int | None = None
    """Entries of the log that it has yet to apply, rounded down to 0, 1000, 10000 and so on."""
    defragmented_at: datetime | None = None
    """When it was last defragmented."""
    corrupt: bool | None = None
    """Set if its data differs from what all others have; it is then replaced."""
    log_index: int | None = None
    """Up to which index it holds all of raft's log, as it told last; absent while a majority takes part."""
    silent_since: datetime | None = None
    """Since when it, which told that, has not answered any more."""
    unhealthy_since: datetime | None = None
    """Since when it has not been healthy; absent while it is."""
    healthy_since: datetime | None = None
    """Since when it has been healthy with its present settings; absent while it is not."""
    healthy_with: str | None = None
    """What its pod was made of when it was last healthy: hashes of its settings and its CA."""
    steady_with: str | None = None
    """The same, when it had last been healthy for ten minutes; empty if it never was, absent if nobody knows."""
    message: str | None = None
    """What is wrong with it, if anything."""


class EtcdCertificate(ApiModel):
    """One certificate and its dates."""

    name: str
    """Secret that holds it."""
    not_after: datetime
    """When it ends."""
    renew_at: datetime
    """When it is renewed."""


class EtcdOperation(ApiModel):
    """What the operator is doing about the members; recorded before it is done."""

    type: Literal[
        "Grow", "Shrink", "Replace", "Migrate", "Roll", "FreeSpace", "Defragment", "Recover"
    ]
    """What it is for."""
    member: str | None = None
    """The member that comes, or that leaves if none comes."""
    replaces: str | None = None
    """The member whose place it takes."""
    step: str = ""
    """What is done or waited for now, as one word."""
    since: datetime
    """When it began."""
    reason: str = ""
    """Why it is done, as a sentence."""
    attempts: int = 0
    """How often it had to be begun anew."""


class EtcdBackupSummary(ApiModel):
    """A backup in short."""

    name: str
    """The EtcdBackup."""
    at: datetime
    """When it was complete."""
    size: int
    """Bytes of what is stored."""


class EtcdProofSummary(ApiModel):
    """A proof that a backup can be restored, in short."""

    name: str
    """The EtcdBackup."""
    at: datetime
    """When it was restored for a trial."""


class EtcdScheduleSeen(ApiModel):
    """The schedule of backups, and since when it has been that."""

    schedule: str
    """What `spec.backup.schedule` says."""
    since: datetime
    """From when on backups are due by it."""


class EtcdRestoreBegun(ApiModel):
    """How far a restore has come."""

    name: str
    """The EtcdRestore."""
    uid: str
    """Its UID."""
    step: Literal["Stopping", "Seeding", "Starting", "Growing"]
    """Members stop, a new one's volume is filled, it starts, and the others join it."""
    since: datetime
    """When it was begun."""
    source: StoredBackup
    """The backup."""
    bump: int
    """How far revisions are raised, so that none is ever used twice."""
    member: str | None = None
    """The new member whose volume is filled."""
    attempts: int = 0
    """How often that was tried."""
    before: list[str] = Field(default_factory=list)
    """The members that stood here before; their volumes are kept until all is well."""


class EtcdRestoreProgress(EtcdRestoreBegun):
    """A restore under way; recorded before anything is done."""

    interrupted: EtcdRestoreBegun | None = None
    """The restore that was not through when this one began; it goes on if this one is given up."""


class EtcdRestored(ApiModel):
    """The latest restore."""

    name: str
    """The EtcdRestore."""
    uid: str
    """Its UID."""
    at: datetime
    """When the restored member took the place of the earlier ones."""
    bump: int
    """How far revisions were raised."""


class EtcdRestoreFailure(ApiModel):
    """A restore that was given up; the data of before is in use."""

    uid: str
    """UID of the EtcdRestore."""
    message: str
    """Why."""


class EtcdReplacement(ApiModel):
    """A lost member whose place was given to a new one."""

    member: str
    """The member that was lost."""
    at: datetime
    """When it was given up."""
    reason: str
    """Why."""


class EtcdMoves(ApiModel):
    """The moves that the annotation `kok.dev/move-members` asked for."""

    request: str
    """What the annotation said; another value is another request."""
    members: list[str] = Field(default_factory=list)
    """Members that are still to be moved."""


class EtcdCARotation(ApiModel):
    """The latest change of the CA; recorded before anything is done for it."""

    request: str
    """What the annotation `kok.dev/rotate-ca` said; another value asks for another rotation."""
    phase: Literal["Trust", "Reissue", "Drop", "Done"]
    """`Trust`: both CAs are trusted; `Reissue`: certificates come from the next one; `Drop`: only

    that is trusted. Each phase reaches all members and API servers before the next one begins.
    """
    since: datetime
    """When the phase began."""
    previous: str | None = None
    """SHA-256 of the CA certificate that goes."""
    next: str | None = None
    """SHA-256 of the CA certificate that comes."""
    clients: str = ""
    """What the Secrets are at, once they are. Whoever reads the CA only at its start is to be

    restarted when this changes; the API servers' operator then confirms it by the annotation
    `kok.dev/ca-trusted`.
    """


class EtcdKeys(ApiModel):
    """Keys that are kept in etcd, sealed, so that every backup holds them."""

    content: str
    """Tells in which versions the Secrets were read: after a change they are sealed anew.

    What they hold does not go into it.
    """
    sealed_to: str
    """The key that opens them."""
    sha256: str
    """SHA-256 of what lies in etcd."""
    data: str
    """What etcd's data comes from: another one may hold other keys."""


class EtcdKeysReturned(ApiModel):
    """Keys that came with a backup."""

    secret: str
    """Secret that holds them; entries are named `<name>.<entry>`."""
    at: datetime
    """When they were opened."""


HibernationStep = Literal["BackingUp", "Stopping", "Asleep", "Waking"]


class EtcdHibernation(ApiModel):
    """How far the members are on their way to sleep, or back; recorded before anything is done."""

    step: HibernationStep
    """A backup is made first, members stop, nobody runs, members start again."""
    since: datetime
    """When that began."""


class EtcdClusterStatus(Status):
    """What an etcd cluster is."""

    cluster_id: str | None = Field(default=None, alias="clusterID")
    """ID of the formed cluster in hexadecimal; recorded once, then every member must show it."""
    seed: str | None = None
    """Member or members that were told to form a new cluster, recorded before they were started."""
    ca_fingerprint: str | None = None
    """SHA-256 of the CA certificate in use; another one is refused until it is trusted."""
    ca_rotation: EtcdCARotation | None = Field(default=None, alias="caRotation")
    """The latest change of the CA."""
    version: str | None = Field(default=None, max_length=16)
    """The lowest version among the members."""
    storage_version: str | None = None
    """Version of the storage format, where etcd tells it."""
    leader: str | None = None
    """Name of the leader."""
    members: list[EtcdMember] = Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """The members."""
    next_member: int = 0
    """Number in the name of the next new member: no name is ever used twice."""
    operation: EtcdOperation | None = None
    """The operation under way; absent at rest."""
    quorum_lost_at: datetime | None = None
    """Since when no majority has taken part; absent while one does."""
    consent_used_at: datetime | None = None
    """When a member went on alone by `spec.recovery.allowDataLoss`, or the loss that it was for passed

    by itself. It is void from then on; absent once that was taken back. Given again after that, it is good for another time.
    """
    replacements: list[EtcdReplacement] = Field(default_factory=list)
    """The latest lost members that were given up, at most five."""
    moves: EtcdMoves | None = None
    """The moves that were asked for last."""
    desired_members: int = 0
    """Number of members wanted."""
    ready_members: int = 0
    """Number of members that are healthy."""
    db_size: str | None = None
    """Size of the largest database file, for people."""
    alarms: list[str] = Field(default_factory=list)
    """Alarms that are raised, as `member: NOSPACE`."""
    freed_at: list[datetime] = Field(default_factory=list)
    """When a full database was compacted and defragmented within the last day."""
    no_room_at: datetime | None = None
    """When that last made no room."""
    endpoints: list[str] = Field(default_factory=list)
    """Addresses for clients inside the meta cluster."""
    client_secret: str | None = None
    """Secret with a client certificate and the CA for the API server."""
    certificates: list[EtcdCertificate] = Field(default_factory=list)
    """The certificates and their dates."""
    last_backup: EtcdBackupSummary | None = None
    """The newest backup that can be restored."""
    backup_schedule: EtcdScheduleSeen | None = None
    """The schedule that backups are judged by."""
    last_backup_slot: datetime | None = None
    """The last time for which the schedule had a backup made."""
    last_verified: EtcdProofSummary | None = None
    """The latest proof that a backup can be restored."""
    last_verify_slot: datetime | None = None
    """The last time for which the schedule asked for a proof."""
    hibernation: EtcdHibernation | None = None
    """What `spec.hibernate` has come to; absent while the members run as ever."""
    restore: EtcdRestoreProgress | None = None
    """The restore under way."""
    restored: EtcdRestored | None = None
    """The latest restore from which this cluster's data comes."""
    highest_revision: int | None = None
    """The highest revision that members had when it was recorded, or that the last restore gave them;
    noted now and then, for the next restore to raise revisions beyond.
    """
    keys: EtcdKeys | None = None
    """The keys that are kept in etcd, sealed."""
    keys_returned: EtcdKeysReturned | None = None
    """The keys that came with the backup of `spec.restoreFrom`."""
    restore_failed: EtcdRestoreFailure | None = None
    """The latest restore that was given up."""
