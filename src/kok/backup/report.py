"""What the worker reports: the JSON of a container's termination message."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field, ValidationError, model_validator

from kok.backup.description import Contents, Description, Key
from kok.backup.model import Model
from kok.backup.reasons import TRANSIENT, Reason

TERMINATION_MESSAGE = "/dev/termination-log"
MESSAGE_LIMIT = 4096
"""Bytes that Kubernetes keeps of a termination message."""


class Usage(Model):
    """What a command took."""

    seconds: float
    bytes_per_second: int
    """Of the snapshot or object, over the time it was streamed."""
    peak_memory: int
    """Most resident memory of the process, in bytes."""


class BackupResult(Model):
    """A complete backup, read back and compared."""

    location: str
    """For people: `s3://bucket/prefix/key` or the path on the volume."""
    description: Description
    usage: Usage


class FetchResult(Model):
    """A snapshot ready to be restored."""

    path: str
    size: int
    """Bytes of the file, the snapshot's checksum at its end included."""
    description: Description | None = None
    """Absent if there is none, and the SHA-256 was given."""
    usage: Usage


class CheckResult(Model):
    """The comparison was made; whether it went well says `equal`."""

    equal: bool
    differences: list[str] = Field(default_factory=list)
    """Sentences for people; empty if equal."""
    found: Contents
    hash_compared: bool
    """Whether the hash could be compared, and not only revision and number of keys."""
    keys_opened: bool = False
    """Whether it holds sealed keys that were opened; those sealed to a recipient cannot be."""


class RemoveResult(Model):
    """Nothing lies under the key any more."""

    existed: bool


class ListedBackup(Model):
    """One complete backup, in short."""

    key: Key
    size: int
    revision: int
    created: datetime
    encrypted: bool


class ListResult(Model):
    """What lies there; the log has all of it, a termination message only the newest ones."""

    total: int
    """Complete backups."""
    undescribed: int = 0
    """Snapshots without a description that can be read: never completed, or of other makers."""
    newest: Description | None = None
    doubt: str = ""
    """Why nobody can tell that it is the newest, as a sentence; empty if nothing speaks against it."""
    backups: list[ListedBackup] = Field(default_factory=list)
    """The newest ones that found room, newest first."""


class Failure(Model):
    """Why nothing came of a command."""

    reason: Reason
    message: str = Field(max_length=1024)
    """A sentence for people, without secrets."""

    @property
    def transient(self) -> bool:
        """Whether trying the same again may help."""
        return self.reason in TRANSIENT


class Report(Model):
    """The outcome of a command: the one result that belongs to it, or the failure."""

    backup: BackupResult | None = None
    fetch: FetchResult | None = None
    check: CheckResult | None = None
    remove: RemoveResult | None = None
    listing: ListResult | None = None
    failure: Failure | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("a report has one result or the failure")
        return self

    def text(self) -> str:
        """The termination message."""
        return self.model_dump_json(by_alias=True, exclude_none=True)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The report in a termination message; None if there is none (killed, out of memory)."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None
