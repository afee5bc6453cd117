"""What is asked of members and what they answer, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Trouble(StrEnum):
    """Why a member gave no usable answer."""

    NOT_LISTENING = "NotListening"
    SILENT = "Silent"
    BROKE_OFF = "BrokeOff"
    """The connection ended without an answer: a member goes down, or refuses a certificate and does
    not wait until that is read."""
    UNTRUSTED = "Untrusted"
    NO_QUORUM = "NoQuorum"
    REFUSED = "Refused"
    DENIED = "Denied"
    """Authentication is on in etcd, and the certificate's user may not do that."""
    NOT_IN_SYNC = "NotInSync"
    """A learner that is too far behind the leader to be promoted."""
    NOT_A_LEARNER = "NotALearner"
    """A member that is to be promoted votes already."""
    NOT_FOUND = "NotFound"
    """No member has that ID."""
    EXISTS = "Exists"
    """A member with that peer URL is listed already."""
    TOO_MANY_LEARNERS = "TooManyLearners"
    """Another learner has yet to be promoted or removed."""
    UNHEALTHY = "Unhealthy"
    """The change would put quorum at risk, since other members are not connected."""
    NOT_LEADER = "NotLeader"
    """Only the leader does this, and the one that was asked is not it (any more)."""
    COMPACTED = "Compacted"
    """That revision is not kept any more."""
    NO_SPACE = "NoSpace"
    """The database is at its quota."""


class EtcdError(Exception):
    """A member gave no usable answer. The message is a fixed sentence, fit for a status:

    no addresses, ports or times that differ each time it happens.
    """

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.message = message


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to prove who we are and whom to trust. PEM; they stay out of `repr`."""

    ca: bytes
    certificate: bytes
    key: bytes
    server_name: str
    """Name that the members' certificates must carry."""

    def __repr__(self) -> str:
        """Without the key."""
        return f"Credentials({self.server_name})"


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that is raised: `NOSPACE` or `CORRUPT`; the member by its ID in hexadecimal."""

    member_id: str
    name: str


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """What a member says of itself. IDs in hexadecimal, as etcd prints them; sizes in bytes."""

    cluster_id: str
    member_id: str
    version: str
    storage_version: str | None
    db_size: int
    in_use: int
    leader: str | None
    """ID of the leader that it follows, or None while it knows of none."""
    is_learner: bool
    raft_term: int
    raft_index: int
    applied_index: int
    revision: int
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True)
class ListedMember:
    """An entry of the member list that a quorum agrees on."""

    id: str
    name: str
    """Empty until the member has started for the first time."""
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    """Empty until the member has started for the first time."""
    is_learner: bool

    @property
    def started(self) -> bool:
        """Whether the member has ever taken part."""
        return bool(self.client_urls)


@dataclass(frozen=True, slots=True)
class Hash:
    """A hash over the keys from `compacted` to `revision`.

    Only hashes over the same range can be compared.
    """

    value: int
    compacted: int
    revision: int
