"""Every condition and every reason that the etcd operator gives, as users see them."""

from __future__ import annotations

from typing import Final

SPACE_LEFT: Final = "SpaceLeft"
"""Every member's database is well below its quota."""
READY: Final = "Ready"
"""All is as asked: every member healthy, certificates in order, no alarm."""
AVAILABLE: Final = "Available"
"""A quorum of members answers: clients can read and write. Unknown if no member can be asked."""
MEMBERS_HEALTHY: Final = "MembersHealthy"
"""Every member is ready and a part of the cluster."""
CERTIFICATES_READY: Final = "CertificatesReady"
"""The CA is the recorded one, and every certificate is there and valid."""
UP_TO_DATE: Final = "UpToDate"
"""Every member's pod runs with the settings of the spec."""

BACKUPS_HEALTHY: Final = "BackupsHealthy"
"""Backups are stored as the schedule says. Only where there is a schedule."""

KEYS_STORED_CONDITION: Final = "KeysStored"
"""etcd holds what `spec.backup.keys` names, sealed, so that each backup does. Only where that is set."""
KEYS_RESTORED_CONDITION: Final = "KeysRestored"
"""The keys that came with the backup of `spec.restoreFrom` lie in the Secret `<name>-keys`."""

VERIFIED_CONDITION: Final = "Verified"
"""The EtcdBackup was restored for a trial, and held what it should. Only where that was asked."""

# --- all is well

HEALTHY: Final = "Healthy"
"""Nothing to do."""
QUORUM: Final = "Quorum"
"""A majority of members agreed on an answer just now."""
ENOUGH: Final = "Enough"
"""Every database is below 80 % of its quota."""
ISSUED: Final = "Issued"
"""Certificates are valid; `status.certificates` has their dates."""
CURRENT: Final = "Current"
"""Pods and spec agree."""

# --- on the way

FORMING: Final = "Forming"
"""The members start for the first time. The message says what each one waits for."""
MEMBERS_NOT_READY: Final = "MembersNotReady"
"""Some members are not healthy; the message names them and says what is known."""
GROWING: Final = "Growing"
"""Members are added one by one, up to `spec.members`."""
SHRINKING: Final = "Shrinking"
"""Members are removed one by one, down to `spec.members`."""
REPLACING: Final = "Replacing"
"""A lost member gives its place to a new one; `status.operation` tells which and how far it is."""
MOVING: Final = "Moving"
"""Members give their places to new ones elsewhere, one by one."""
ROLLING: Final = "Rolling"
"""Members are restarted one by one with the settings or the version of the spec, the leader last."""
DEFRAGMENTING: Final = "Defragmenting"
"""Members' database files are freed of unused space, one member at a time."""
RECOVERING: Final = "Recovering"
"""A majority is lost, and the user allowed that one member goes on alone with what it holds."""
CA_ROTATING: Final = "CARotating"
"""Another CA takes the place of the one in use; the message has the phase and what is waited for."""
HIBERNATING: Final = "Hibernating"
"""The members are about to be stopped, since `spec.hibernate` is true; the message has what is

waited for.
"""
HIBERNATED: Final = "Hibernated"
"""No member runs, since `spec.hibernate` is true. Their volumes are kept."""
WAKING: Final = "Waking"
"""The members start again with the data that they had; operations wait until all are back."""
RESTART_NEEDED: Final = "RestartNeeded"
"""Members have yet to be restarted with what the spec says; something else is done first."""
VOLUMES_GROWING: Final = "VolumesGrowing"
"""Volumes are expanded to `spec.storage.size`; the quota of a member follows with a restart."""
ISSUING: Final = "Issuing"
"""Certificates are being made."""
VOLUMES_TERMINATING: Final = "VolumesTerminating"
"""Volumes of an earlier EtcdCluster of this name are still being removed; wait."""

# --- somebody must look

POD_REFUSED: Final = "PodRefused"
"""The meta cluster refuses a pod: a quota, a limit range, a policy, a webhook. The message quotes
why, and says what to do. It is tried again all the time."""

QUORUM_LOST: Final = "QuorumLost"
"""Fewer than a majority takes part: nothing can be written. The message says what each one lacks."""
MEMBERS_DISAGREE: Final = "MembersDisagree"
"""Members answer with different lists of members, as of two clusters, or with one that lacks members and

that no majority of them tells. The message has the lists.
"""
RECOVERY_BLOCKED: Final = "RecoveryBlocked"
"""A quorum is lost and `spec.recovery.policy` is FromBackup, but no backup of this etcd cluster was

proven, restoring it failed, or members do not run with what they were given last. The message says what
to do.
"""
NEAR_QUOTA: Final = "NearQuota"
"""A database fills 80 % of its quota or more; delete keys or make room before etcd is full."""
UNREACHABLE: Final = "MembersUnreachable"
"""The pods are ready, but the operator cannot ask them; check routes and network policies."""
AUTHENTICATION_ON: Final = "AuthenticationOn"
"""etcd's own authentication is on, and its user `etcd-client` lacks the role `root`.

Clients are served. Until the role is granted nothing is done about members, and no backup is made.
"""
MEMBER_LOST: Final = "MemberLost"
"""A member's volume, its content or its node is gone, or somebody removed it. It is replaced while

the others have a quorum; the message says how far that is. Empty it never starts again.
"""
UNKNOWN_MEMBER: Final = "UnknownMember"
"""etcd lists a member that was added by hand; `etcdctl member remove` it, so that we can go on."""
CLUSTER_ID_MISMATCH: Final = "ClusterIDMismatch"
"""A member belongs to another etcd cluster than the recorded one; it is not counted."""
NO_SPACE: Final = "NoSpace"
"""The database reached its quota; etcd refuses writes until space is freed."""
CORRUPT: Final = "Corrupt"
"""Members disagree on the data; etcd refuses to serve. One that is plainly wrong is replaced."""
ROLL_BLOCKED: Final = "RollBlocked"
"""Members are not restarted, or not upgraded, as long as what the message names is not mended."""
ROLL_STUCK: Final = "RollStuck"
"""A member that was restarted does not become healthy. The others serve and are left alone."""
VOLUMES_FIXED: Final = "VolumesFixed"
"""Volumes are too small, and their StorageClass may not expand them (`allowVolumeExpansion`)."""
NAME_TAKEN: Final = "NameTaken"
"""An object that is not ours has a name that we need; remove it or choose another name."""
RETAINED_VOLUMES: Final = "RetainedVolumes"
"""Volumes of an earlier EtcdCluster of this name are there; adopt them or delete them."""
FORBIDDEN_BY_POLICY: Final = "ForbiddenByPolicy"
"""The administrator of the meta cluster does not allow what a field says; the message names it."""
UNSUPPORTED_VERSION: Final = "UnsupportedVersion"
"""`spec.version`, or that of the etcd that a backup was made of, is not one that this release can run."""

# --- backups

BACKED_UP: Final = "BackedUp"
"""The backup that was due last is stored."""
NO_BACKUP_YET: Final = "NoBackupYet"
"""No backup has been due since the schedule was set."""
BACKUP_OVERDUE: Final = "BackupOverdue"
"""No backup was stored for two hours and more after one was due; see the EtcdBackups.

Or by a clock that was wrong none would be due for long; the message says so.
"""
SCHEDULE_INVALID: Final = "ScheduleInvalid"
"""`spec.backup.schedule` or `spec.backup.verify` cannot be understood."""

KEYS_SEALED: Final = "KeysSealed"
"""The keys are in etcd, sealed; the message names them and the key that opens them."""
KEYS_NOT_STORED: Final = "KeysNotStored"
"""The keys that `spec.backup.keys` names could not be put into etcd, or are older than those in use.

No backup is made until they are there.
"""
SECRET_NOT_MARKED: Final = "SecretNotMarked"  # noqa: S105 - a reason
"""A Secret of `spec.backup.keys.secrets` is not marked as one whose content may go into backups.

Label it `kok.dev/backed-up: "true"`. The keys that KOK made for a Cluster need no label.
"""
KEYS_OPENED: Final = "KeysOpened"
"""The keys that came with the backup were opened."""
KEYS_MISSING: Final = "KeysMissing"
"""The backup holds no keys, or what opens them is not given; the message says what to bring along."""

STORED: Final = "Stored"
"""The backup is complete: it was stored and read back, and can be restored."""
VERIFYING: Final = "Verifying"
"""A Job restores the backup into a throw-away etcd."""
VERIFIED: Final = "RestoredForTrial"
"""The backup was restored into a throw-away etcd, and revision, keys and hash were compared."""
VERIFICATION_FAILED: Final = "VerificationFailed"
"""The backup cannot be restored, or does not hold what it should; make another one at once."""
RESTORING: Final = "Restoring"
"""The EtcdCluster is being given the data of a backup. The message says how far that is."""
RESTORE_VERIFIED: Final = "BackupVerified"
"""The backup of an EtcdRestore was restored for a trial; it is the EtcdCluster's turn."""
ETCD_HIBERNATES: Final = "EtcdHibernates"
"""The backup of an EtcdRestore is good, but its EtcdCluster sleeps: it is restored when that is awake."""
RESTORE_REFUSED: Final = "RestoreRefused"
"""The backup cannot be used: it is missing, damaged, or of another version. Nothing was changed."""
RESTORE_GIVEN_UP: Final = "RestoreGivenUp"
"""The restore failed, and the EtcdCluster went back to the data that it had before."""
RESTORED: Final = "Restored"
"""The EtcdCluster has the data of the backup, and all its members are healthy."""
BACKUP_MISSING: Final = "EtcdBackupMissing"
"""The EtcdBackup that a restore names does not exist, or is not complete yet."""
QUEUED: Final = "Queued"
"""As many Jobs run as may run at the same time; it is the next one's turn as soon as one ends."""
BACKUP_RUNNING: Final = "BackupRunning"
"""A Job takes the snapshot and stores it."""
ETCD_CLUSTER_MISSING: Final = "EtcdClusterMissing"
"""There is no EtcdCluster of the name that the spec gives, in the same namespace."""
ETCD_NOT_READY: Final = "EtcdNotReady"
"""No member of the EtcdCluster is healthy: there is nobody to take a snapshot of."""
NO_STORE: Final = "NoStore"
"""Neither the EtcdBackup nor its EtcdCluster says where backups are to lie."""
SECRET_MISSING: Final = "SecretMissing"  # noqa: S105 - a reason
"""A Secret or ConfigMap that a store or its encryption needs is missing or lacks a key."""
STORE_VOLUME_MISSING: Final = "StoreVolumeMissing"
"""The PersistentVolumeClaim of a store does not exist."""
NO_WORKER_IMAGE: Final = "NoWorkerImage"
"""The operator was not told which image its Jobs have: set KOK_WORKER_IMAGE, as the chart does."""
WORKER_LOST: Final = "WorkerLost"
"""The Job's pod ended without a report: its node went, it was evicted or killed."""
WORKER_FAILED: Final = "WorkerFailed"
"""A container of the Job failed; the message has its last words, the Job's log all of them."""

# The reasons of `kok.backup.reasons` appear where a Job reported a failure.

# The reasons of `kok.pki.CAReason` (CAMissing...) also appear on CertificatesReady and Ready.

# --- events

CLUSTER_FORMED: Final = "ClusterFormed"
"""Event: the members agreed on a cluster ID, which holds from now on."""
CERTIFICATE_ISSUED: Final = "CertificateIssued"
"""Event: a certificate was made for the first time."""
CERTIFICATE_RENEWED: Final = "CertificateRenewed"
"""Event: a certificate was replaced; the message says why."""
CA_TRUSTED: Final = "CATrusted"
"""Event: another CA was accepted because the annotation asked for it."""
CA_ROTATION: Final = "CARotation"
"""Event: a rotation of the CA has come to its next phase."""
HIBERNATION: Final = "Hibernation"
"""Event: members are stopped or started because of `spec.hibernate`."""
BACKUP_STORED: Final = "BackupStored"
"""Event: a backup is complete."""
BACKUP_FAILED: Final = "BackupFailed"
"""Event: an attempt to make a backup failed; the message says why and when it is tried again."""
BACKUP_LEFT: Final = "StoredBackupLeft"
"""Event: the EtcdBackup is gone, but what is stored could not be removed; remove it by hand."""
VOLUMES_ADOPTED: Final = "VolumesAdopted"
"""Event: volumes of an earlier EtcdCluster of this name are used again, with their data."""
MEMBER_ADDED: Final = "MemberAdded"
"""Event: a new member is known to etcd as a learner, which has no vote."""
MEMBER_PROMOTED: Final = "MemberPromoted"
"""Event: a learner has caught up with the leader and got its vote."""
LEADER_MOVED: Final = "LeaderMoved"
"""Event: another member leads, since the one that led is to be removed or restarted."""
MEMBER_REMOVED: Final = "MemberRemoved"
"""Event: a member was taken out of etcd's list for good."""
RECOVERY_CALLED_OFF: Final = "RecoveryCalledOff"
"""Event: a quorum returned, or the policy was changed, before a recovery came to anybody's data."""
CONSENT_VOID: Final = "ConsentVoid"
"""Event: the loss of a quorum that a consent was good for has passed by itself."""
QUORUM_RECOVERED: Final = "QuorumRecovered"
"""Event: one member goes on alone with what it held; new ones join it."""
MEMBER_DEFRAGMENTED: Final = "MemberDefragmented"
"""Event: a member's database file was freed of unused space."""
MEMBER_CORRUPT: Final = "MemberCorrupt"
"""Event: a member was found to have other data than all others; it is replaced."""
ALARM_DISARMED: Final = "AlarmDisarmed"
"""Event: an alarm of etcd was taken back."""
MEMBER_RESTARTED: Final = "MemberRestarted"
"""Event: a member is restarted with what the spec says."""
MEMBERS_RESTARTED: Final = "MembersRestarted"
"""Event: all members restart at once, since they could not trust each other one by one."""
