"""Where backups of etcd lie: what EtcdClusters and EtcdBackups say of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from kok.api.fields import WHITE, Annotations, Cron, Labels, Resources, rule, rules, says
from kok.api.meta import ApiModel

Folder = Annotated[
    str,
    Field(
        max_length=255,
        pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*)?$",
        json_schema_extra=says(
            "write folders without / at either end, such as site-a/etcd, in letters, digits, "
            "dots, dashes and underscores"
        ),
    ),
]
"""Folders of a store, below which keys lie."""

BackupKey = Annotated[
    str,
    Field(
        max_length=768,
        pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*\.snapshot)?$",
        json_schema_extra=says(
            "write the key as an EtcdBackup's status.key has it, such as "
            "team-a/shop-etcd/20260102T060000Z-one-1f0c2b3a.snapshot"
        ),
    ),
]
"""Where a backup lies below the folder of its store."""


class TrustedCA(ApiModel):
    """CA certificates (PEM) in a Secret or a ConfigMap of the same namespace."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "write exactly one of secret and configMap, the name of what holds the CA",
                "(self.?secret.orValue('') != '') != (self.?configMap.orValue('') != '')",
            )
        )
    )

    secret: str = Field(default="", max_length=253)
    """Secret that holds it."""
    config_map: str = Field(default="", max_length=253)
    """ConfigMap that holds it."""
    key: str = Field(default="ca.crt", min_length=1, max_length=253)
    """Key in it."""


class S3Store(ApiModel):
    """A bucket of S3 or of anything that speaks its protocol."""

    bucket: str = Field(
        min_length=3,
        max_length=63,
        pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$",
        json_schema_extra=says("write the bucket's name alone, such as etcd-backups"),
    )
    """Name of the bucket, which must exist."""
    prefix: Folder = ""
    """Folder that all keys begin with; below it lie namespace, EtcdCluster and backup.

    Two meta clusters that share a bucket need one each.
    """
    endpoint: Annotated[
        str,
        Field(
            pattern=rf"^(https?://[^{WHITE}/]+)?$",
            max_length=253,
            json_schema_extra=says("write an address without a path, such as https://s3.example"),
        ),
    ] = ""
    """Address of the server; that of AWS in `region` if empty."""
    region: str = Field(default="us-east-1", min_length=1, max_length=63)
    """Region of the bucket."""
    path_style: bool = True
    """Whether the bucket stands in the path of addresses rather than in front of the host name."""
    ca: TrustedCA | None = None
    """CA of the server, if it is not a publicly known one."""
    secret: str = Field(min_length=1, max_length=253)
    """Secret in the same namespace with `accessKeyID`, `secretAccessKey` and, if the credentials
    have one, `sessionToken`.
    """
    server_side_encryption: Literal["", "AES256", "aws:kms"] = ""
    """How the server is asked to encrypt what it stores; as the bucket is set up if empty."""
    kms_key_id: str = Field(default="", alias="kmsKeyID", max_length=2048)
    """Key that the server is to use with `aws:kms`; its default one if empty."""


class VolumeStore(ApiModel):
    """A directory on a volume."""

    claim: str = Field(min_length=1, max_length=253)
    """PersistentVolumeClaim in the same namespace, which must exist."""
    path: Folder = ""
    """Directory on it below which backups lie; it is made if need be."""


class BackupStore(ApiModel):
    """Where backups lie."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("write exactly one of s3 and volume", "has(self.s3) != has(self.volume)")
        )
    )

    s3: S3Store | None = None
    """In a bucket."""
    volume: VolumeStore | None = None
    """On a volume in the meta cluster, which must be one that a pod beside etcd's can use."""


class BackupEncryption(ApiModel):
    """Encryption of backups before they leave the meta cluster."""

    secret: str = Field(min_length=1, max_length=253)
    """Secret in the same namespace whose entries are keys: 32 random bytes each, raw or in base64.

    Keep a copy elsewhere: without it no backup can be read. All of its keys can decrypt, so that
    earlier ones have to stay until the backups made with them are gone.
    """
    key: str = Field(default="key", min_length=1, max_length=253)
    """Entry of the Secret that new backups are encrypted with."""


class BackupWorker(ApiModel):
    """The pods that make, prove, restore and remove backups."""

    resources: Resources | None = None
    """What a container that moves a backup asks for and may use at most.

    What is not said stays `requests: {cpu: 50m, memory: 64Mi}` and `limits: {memory: 256Mi}`.
    """
    etcd_resources: Resources | None = None
    """The same for containers that unpack a backup, and for the throw-away etcd that proves it.

    It holds an index of all keys in memory. What is not said stays
    `requests: {cpu: 50m, memory: 64Mi}` without limits.
    """
    labels: Labels = Field(default_factory=dict)
    """Labels of these pods; KOK's own win."""
    annotations: Annotations = Field(default_factory=dict)
    """Annotations of these pods, such as those that keep a service mesh away from them."""


class EtcdBackupRetention(ApiModel):
    """Which backups of the schedule are kept; those that people made are left alone."""

    last: int = Field(default=7, ge=1, le=1000)
    """The newest so many good ones are kept, whatever their age."""
    days: int = Field(default=0, ge=0, le=3650)
    """Good ones of the last so many days are kept as well; the days count from the newest one."""


SEALED = rule(
    "a store at an http:// address needs encryption, since everybody on the way could read and "
    "change backups; name the Secret of its keys in encryption, or write an https:// address",
    "!self.?store.?s3.?endpoint.orValue('').startsWith('http://') || has(self.encryption)",
)
"""For whatever has `store` and `encryption`."""

PublicKey = Annotated[
    str,
    Field(
        pattern=r"^([A-Za-z0-9+/]{43}=)?$",
        max_length=44,
        json_schema_extra=says("write an X25519 public key in base64, as `kok keypair` prints it"),
    ),
]
"""An X25519 public key, or nothing."""


class BackupKeys(ApiModel):
    """Keys without which a backup is of no use, kept in it, sealed."""

    recipient: PublicKey = ""
    """Public key that they are sealed to, of a key pair whose private half lies elsewhere.

    `encryption.key` if empty: whoever can read the backup then has the keys as well.
    """
    secrets: dict[str, Annotated[str, Field(max_length=253)]] = Field(
        default_factory=dict,
        max_length=16,
        json_schema_extra=rules(
            rule(
                "write short names such as ca, in lower-case letters, digits and dashes",
                "self.all(k, k.size() <= 63 && k.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))",
            )
        ),
    )
    """Secrets in the same namespace whose content is kept, by what it is called in the backup.

    Each must be labelled `kok.dev/backed-up: "true"`. A Cluster adds its own keys to those of its
    etcd; those that KOK made need no label.
    """


class PrivateKey(ApiModel):
    """A private key in a Secret of the same namespace."""

    secret: str = Field(min_length=1, max_length=253)
    """Secret that holds it."""
    key: str = Field(default="privateKey", min_length=1, max_length=253)
    """Entry of the Secret: 32 bytes in base64, as `kok keypair` prints them."""


class EtcdBackupPolicy(ApiModel):
    """How the cluster is backed up."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            SEALED,
            rule(
                "keys are kept sealed only: write keys.recipient, or encryption",
                "!has(self.keys) || has(self.encryption) || self.keys.?recipient.orValue('') != ''",
            ),
        )
    )

    schedule: Cron = ""
    """When backups are made, as five fields of cron in UTC; only on demand if empty."""
    keep: EtcdBackupRetention = Field(default_factory=EtcdBackupRetention)
    """How long backups of the schedule are kept."""
    verify: Cron = ""
    """When the newest good backup is restored for a trial, as five fields of cron in UTC."""
    store: BackupStore
    """Where backups lie; for an EtcdBackup that says nothing else."""
    encryption: BackupEncryption | None = None
    """Encrypts backups before they leave the meta cluster."""
    keys: BackupKeys | None = None
    """Keeps the keys in each backup, sealed, without which a Cluster cannot be restored elsewhere."""
    worker: BackupWorker | None = None
    """The pods of backups, proofs, restores and removals, where these say nothing else."""


SAME = "self == oldSelf"
NAME_MAX = 60
SHORT_NAME = rule(
    f"metadata.name is longer than {NAME_MAX} characters; write a shorter one",
    f"self.metadata.name.size() <= {NAME_MAX}",
)
"""For EtcdBackups and EtcdRestores, whose Jobs are named after them."""
KEPT = "cannot be changed; create another EtcdRestore, or another EtcdCluster"
ONE_SOURCE = rule(
    "write either backup, the name of an EtcdBackup, or store with one of key and newestOf",
    "(self.?backup.orValue('') != '') != has(self.store) && "
    "((self.?key.orValue('') != '') != (self.?newestOf.orValue('') != '')) == has(self.store)",
)
SAME_PARTS = rule(
    f"store and encryption {KEPT}",
    "has(self.store) == has(oldSelf.store) && has(self.encryption) == has(oldSelf.encryption)",
)


class RestoreSource(ApiModel):
    """What a cluster's data comes from."""

    model_config = ConfigDict(json_schema_extra=rules(ONE_SOURCE, SAME_PARTS, SEALED))

    backup: str = Field(
        default="", max_length=253, json_schema_extra=rules(rule(f"backup {KEPT}", SAME))
    )
    """EtcdBackup in the same namespace."""
    store: BackupStore | None = Field(
        default=None, json_schema_extra=rules(rule(f"store {KEPT}", SAME))
    )
    """Where a backup lies of which there is no EtcdBackup here: that of another site, perhaps."""
    key: Annotated[
        str,
        Field(
            max_length=768,
            pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*\.snapshot)?$",
            json_schema_extra={
                **says(
                    "write the key as status.key of an EtcdBackup has it, such as "
                    "team-a/shop-etcd/20260102T060000Z-one-1f0c2b3a.snapshot"
                ),
                **rules(rule(f"key {KEPT}", SAME)),
            },
        ),
    ] = ""
    """Where the backup lies in `store`."""
    newest_of: Annotated[
        str,
        Field(
            max_length=317,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z]([-a-z0-9]*[a-z0-9])?)?$",
            json_schema_extra={
                **says(
                    "write namespace and name of the EtcdCluster that was backed up, such as "
                    "team-a/shop-etcd"
                ),
                **rules(rule(f"newestOf {KEPT}", SAME)),
            },
        ),
    ] = ""
    """Takes the newest complete backup in `store` that was made of this EtcdCluster."""
    encryption: BackupEncryption | None = Field(
        default=None, json_schema_extra=rules(rule(f"encryption {KEPT}", SAME))
    )
    """Keys of an encrypted backup in `store`."""
    private_key: PrivateKey | None = None
    """Opens the keys in the backup that were sealed to a `recipient`."""
    worker: BackupWorker | None = None
    """The pods of the restore; as `spec.backup.worker` of the EtcdCluster says if absent."""


class StoredBackup(ApiModel):
    """A stored backup and what is known of it."""

    store: BackupStore
    """Where it lies."""
    encryption: BackupEncryption | None = None
    """The Secret of the keys that it is encrypted with."""
    key: str
    """Where it lies in the store."""
    sha256: str
    """SHA-256 of what is stored."""
    size: int
    """Bytes of what is stored."""
    revision: int
    """Revision of etcd up to which every acknowledged write is in it."""
    keys: int | None = None
    """Number of keys that it holds."""
    hash: int | None = None
    """etcd's own hash of its content at that revision."""
    compact_revision: int | None = None
    """Revision up to which history was compacted when the hash was made."""
    etcd_version: str
    """Version of etcd that it was made of."""
    sealed_keys: str | None = None
    """SHA-256 of the sealed keys that it holds; absent: it holds none."""
