"""What the operator tells the worker. No I/O, no heavy imports.

A Job's container runs `kok etcd-worker <command>`. What to do comes as JSON in `SPEC_VARIABLE`,
without secrets: these are files below `SECRETS`, mounted from Secrets. The outcome is the
container's termination message: a `report.Report`; the exit code is 0 exactly if it has a result.

| command | spec | mounts |
|---|---|---|
| `backup` | `BackupSpec` | `ETCD_CERTIFICATES`, those of the store, `ENCRYPTION_KEYS` if encrypted |
| `fetch` | `FetchSpec` | those of the store, `ENCRYPTION_KEYS` if encrypted, `VOLUME` |
| `check` | `CheckSpec` | `VOLUME` for an `https://` endpoint; etcd runs beside it in the same pod |
| `remove` | `RemoveSpec` | those of the store |
| `list` | `ListSpec` | those of the store |

A store in S3 needs `S3_CREDENTIALS`, and `S3_CA` if the spec says so; a directory needs its volume
at `DIRECTORY`. Files must be readable by the pod's user. The root file system may be read-only.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field

from kok.backup.description import SHA256, Contents, Key, Origin, Prefix
from kok.backup.model import Model

SPEC_VARIABLE = "KOK_ETCD_WORKER_SPEC"
CLOSED_VARIABLE = "KOK_FORBIDDEN_RANGES"
"""Address ranges, by commas, that a store must not lie in."""

SECRETS = PurePosixPath("/etc/kok-worker")
ETCD_CERTIFICATES = SECRETS / "etcd"
"""A client certificate: `tls.crt`, `tls.key`, and `ca.crt` that the member's one is checked by."""
S3_CREDENTIALS = SECRETS / "s3"
S3_ACCESS_KEY_ID = "accessKeyID"
S3_SECRET_ACCESS_KEY = "secretAccessKey"  # noqa: S105 - the name of a file
S3_SESSION_TOKEN = "sessionToken"  # noqa: S105
"""Files of `S3_CREDENTIALS`, named as the keys of the user's Secret; the token may be absent."""
S3_CA = SECRETS / "s3-ca"
S3_CA_FILE = "ca.crt"
"""File of `S3_CA`: the certificates, in PEM, that the store's one is checked by."""
ENCRYPTION_KEYS = SECRETS / "encryption"
"""Each file is a key: 32 bytes, raw or in base64. Any of them may decrypt; see `Encryption`."""
DIRECTORY = PurePosixPath("/var/lib/kok-store")
"""Where the volume of a store in a directory is mounted."""
VOLUME = PurePosixPath("/var/lib/kok-snapshot")
"""Where `fetch` finds the volume that it writes to."""
ROOT_PASS = VOLUME / "root-pass"
"""Certificate of the user `root` of a throw-away etcd, for it and for `check`; see `kok.backup.commands.root_certificate`."""
ROOT_PASS_USER, ROOT_PASS_NAME = "root", "proof"
"""Its common name, and the name of the server that it is for."""

Command = Literal["backup", "fetch", "check", "remove", "list"]


class S3Store(Model):
    """A bucket of a server that speaks S3."""

    type: Literal["S3"] = "S3"
    endpoint: str = Field(pattern=r"^https?://[^\t\n\f\r /]+$")
    """Such as `https://s3.example:9000`; no path."""
    region: str = "us-east-1"
    bucket: str = Field(min_length=1)
    prefix: Prefix = ""
    path_style: bool = True
    """Whether the bucket is a part of the path rather than of the host name."""
    custom_ca: bool = False
    """Whether the server's certificate is checked by `S3_CA` rather than by the public CAs."""
    server_side_encryption: Literal["", "AES256", "aws:kms"] = ""
    """What the server is asked to encrypt by."""
    kms_key_id: str = ""
    """Key that the server is to use with `aws:kms`; its default one if empty."""


class DirectoryStore(Model):
    """A directory of the volume at `DIRECTORY`."""

    type: Literal["Directory"] = "Directory"
    prefix: Prefix = ""


Store = Annotated[S3Store | DirectoryStore, Field(discriminator="type")]


class Limits(Model):
    """How long a command may take. Set the Job's own deadline some 30 s later."""

    deadline: float = Field(default=3600.0, gt=0)
    """Seconds for the whole command."""
    stall: float = Field(default=60.0, gt=0)
    """Seconds without any progress after which a command gives up."""


class EtcdAccess(Model):
    """One member, and how to know it."""

    endpoint: str = Field(pattern=r"^https?://[^\t\n\f\r /]+$")
    """Client address of the member, such as `https://10.0.0.7:2379`.

    By address and not by name: to look a name up can outlast every deadline.
    """
    server_name: str = ""
    """Name that the member's certificate must carry; the endpoint's host if empty."""


class BackupSpec(Model):
    """Take a snapshot of a member and store it."""

    etcd: EtcdAccess
    store: Store
    key: Key
    attempt: int = Field(default=1, ge=1)
    """Which try of the backup it is, to whose key alone it writes: see `key_of_try`."""
    origin: Origin
    encryption_key: str | None = None
    """Name of the file of `ENCRYPTION_KEYS` to encrypt with; absent: no encryption of our own."""
    compute_hash: bool = True
    """Whether to ask for HashKV. The member reads its database for it, some 1.5 s a GiB, and
    applies no writes in that time: ask a follower where there is one."""
    limits: Limits = Field(default_factory=Limits)


class FetchSpec(Model):
    """Bring a stored snapshot, checked and decrypted, to `VOLUME`."""

    store: Store
    key: Key
    file: str | None = Field(default="snapshot.db", pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")
    """Name of the file below `VOLUME`; an earlier one is replaced when all is well. None: it is
    only read and checked."""
    sha256: SHA256 | None = None
    """What the stored object must have, as recorded in the EtcdBackup; absent: as described there."""
    size: int | None = None
    """Bytes that the stored object has, as far as is known; beyond the described ones it is given
    up."""
    encrypted: bool = False
    """Whether encryption is set for the backup: then nothing plain is taken, whatever keys are given."""
    root_pass: bool = False
    """Whether `ROOT_PASS` is to be made as well, by which any restored etcd can be asked."""
    limits: Limits = Field(default_factory=Limits)


class CheckSpec(Model):
    """Compare a restored etcd with what was found when the backup was made."""

    endpoint: str = "http://127.0.0.1:2379"
    """A throw-away etcd; it may still be starting. It must hold the snapshot restored without
    bumped revisions, or hashes cannot be compared. With `https://` it is asked as the user `root`,
    by `ROOT_PASS`: etcd's own authentication may be on."""
    expect: Contents
    limits: Limits = Field(default_factory=lambda: Limits(deadline=300.0))


class RemoveSpec(Model):
    """Remove one backup and its description; nothing there is as good."""

    store: Store
    key: Key
    attempts: int = Field(default=1, ge=0)
    """How many tries of it there were: what they have left goes, too."""
    limits: Limits = Field(default_factory=lambda: Limits(deadline=120.0))


class ListSpec(Model):
    """Say which backups lie in a store."""

    store: Store
    under: Prefix = ""
    """Only those in this folder below the store's prefix, such as `team-a/shop`."""
    limits: Limits = Field(default_factory=lambda: Limits(deadline=300.0))
