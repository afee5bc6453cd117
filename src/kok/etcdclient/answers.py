"""From the JSON of etcd's gateway to values and errors. Pure functions."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from kok.etcdclient.model import Alarm, EtcdError, Hash, ListedMember, MemberStatus, Trouble
from kok.versions.number import parse

_UNAVAILABLE, _DEADLINE_EXCEEDED = 14, 4
_SHORT, _LONG, _SAID = 64, 512, 300
"""Characters of the name of an alarm, of a name or URL, and of a sentence that are kept."""
_MANY = 64
"""Members, URLs or errors that are looked at; seven members are what etcd advises."""
_MOST = 2**62
"""No etcd has as many bytes, entries or revisions; what is reckoned of it still is an int64."""
_REFUSALS = (
    ("in sync with leader", Trouble.NOT_IN_SYNC),
    ("can only promote a learner", Trouble.NOT_A_LEARNER),
    ("member not found", Trouble.NOT_FOUND),
    ("too many learner members", Trouble.TOO_MANY_LEARNERS),
    ("Peer URLs already exists", Trouble.EXISTS),
    ("member ID already exist", Trouble.EXISTS),
    ("unhealthy cluster", Trouble.UNHEALTHY),
    ("not enough started members", Trouble.UNHEALTHY),
    ("not leader", Trouble.NOT_LEADER),
    ("bad leader transferee", Trouble.NOT_FOUND),
    ("has been compacted", Trouble.COMPACTED),
    ("database space exceeded", Trouble.NO_SPACE),
    ("permission denied", Trouble.DENIED),
    ("user name not found", Trouble.DENIED),
    ("user not found", Trouble.DENIED),
    ("user name is empty", Trouble.DENIED),
)
"""Texts of etcd's errors (3.5 to 3.7) and what they mean."""
_DENIED = "refuses the operator, since etcd's authentication is on: the user etcd-client needs the role root"


def status_of(answer: dict[str, Any]) -> MemberStatus:
    """A `StatusResponse` of the gateway; it leaves out what is zero, false or empty.

    Raises `ValueError` for what no etcd says: whatever stands in it may be recorded.
    """
    header = answer.get("header") or {}
    leader = _number(answer.get("leader"))
    return MemberStatus(
        cluster_id=_hex(header.get("cluster_id")),
        member_id=_hex(header.get("member_id")),
        version=_version(answer.get("version")) or "",
        storage_version=_version(answer.get("storageVersion")),
        db_size=_count(answer.get("dbSize")),
        in_use=_count(answer.get("dbSizeInUse")),
        leader=_hex(leader) if leader else None,
        is_learner=bool(answer.get("isLearner")),
        raft_term=_count(answer.get("raftTerm")),
        raft_index=_count(answer.get("raftIndex")),
        applied_index=_count(answer.get("raftAppliedIndex")),
        revision=_count(header.get("revision")),
        alarms=tuple(
            a for text in list(answer.get("errors") or ())[:_MANY] if (a := alarm_of(text))
        ),
    )


def listed_of(entry: dict[str, Any]) -> ListedMember:
    """One `Member` of the gateway."""
    return ListedMember(
        id=_hex(entry.get("ID")),
        name=str(entry.get("name") or "")[:_LONG],
        peer_urls=_texts(entry.get("peerURLs")),
        client_urls=_texts(entry.get("clientURLs")),
        is_learner=bool(entry.get("isLearner")),
    )


def members_of(answer: dict[str, Any]) -> tuple[ListedMember, ...]:
    """A `MemberListResponse` of the gateway."""
    return tuple(listed_of(entry) for entry in list(answer.get("members") or ())[:_MANY])


def hash_of(answer: dict[str, Any]) -> Hash:
    """A `HashKVResponse` of the gateway."""
    header = answer.get("header") or {}
    return Hash(
        value=_number(answer.get("hash")),
        compacted=_number(answer.get("compact_revision")),
        revision=_number(answer.get("hash_revision") or header.get("revision")),
    )


def alarm_of(text: str) -> Alarm | None:
    """An alarm among the `errors` of a status, which are texts; None for any other error.

    To ask for alarms directly would write an entry to the log of raft each time.

    >>> alarm_of("memberID:8464403420199209632 alarm:NOSPACE ")
    Alarm(member_id='75779a1078934aa0', name='NOSPACE')
    """
    words = dict(word.split(":", 1) for word in str(text).split() if ":" in word)
    if not words.get("memberID", "").isdigit() or "alarm" not in words:
        return None
    return Alarm(_hex(words["memberID"]), words["alarm"][:_SHORT])


def clock_of(date: str | None) -> datetime | None:
    """The time in the `Date` of an answer, to the second; None if it tells none.

    >>> clock_of("Thu, 26 Nov 2026 12:00:00 GMT")
    datetime.datetime(2026, 11, 26, 12, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        found = parsedate_to_datetime(date or "")
    except (ValueError, ArithmeticError):
        return None
    return found if found.tzinfo is not None else None


def _hex(number: Any) -> str:
    return format(_number(number), "x")


def _number(value: Any) -> int:
    """An integer of 64 bits, from a number or a text; raises `ValueError` for any other."""
    found = int(value or 0)
    if not -(2**63) <= found < 2**64:
        raise ValueError(found.bit_length())
    return found


def _count(value: Any) -> int:
    """How many of something there are, far below what the API can hold; raises `ValueError`."""
    found = _number(value)
    if not 0 <= found <= _MOST:
        raise ValueError(found.bit_length())
    return found


def _version(value: Any) -> str | None:
    """Three numbers, or None where there is none; raises `ValueError` for anything else."""
    return str(parse(str(value))) if value else None


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(text)[:_LONG] for text in list(value or ())[:_MANY])


def strange() -> EtcdError:
    """An answer that is none of etcd's."""
    text = "does not answer the operator as etcd does"
    return EtcdError(Trouble.REFUSED, text)


def too_much() -> EtcdError:
    """An answer that is longer, or wrapped in more, than any of etcd's."""
    return EtcdError(Trouble.REFUSED, "answers with more than etcd ever does")


def refusal(answer: dict[str, Any], status: int) -> EtcdError:
    """What a member says instead of an answer; etcd tells most refusals apart only by their text."""
    text = str(answer.get("message") or answer.get("error") or f"HTTP status {status}")[:_SAID]
    for words, trouble in _REFUSALS:
        if words in text:
            return EtcdError(trouble, _DENIED if trouble is Trouble.DENIED else f"refuses: {text}")
    code = answer.get("code")
    if code in {_UNAVAILABLE, _DEADLINE_EXCEEDED} or "no leader" in text or "timed out" in text:
        return EtcdError(Trouble.NO_QUORUM, f"finds no quorum: {text}")
    return EtcdError(Trouble.REFUSED, f"refuses: {text}")
