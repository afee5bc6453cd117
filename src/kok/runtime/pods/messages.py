"""What Kubernetes tells of a pod in events only: what its probes answered, why it cannot start;
and what a process said last.

Why a container that runs is not ready is known to the kubelet alone. (Of pods that are refused
before they exist `kok.runtime.pods.admission` tells.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kok.api.meta import Manifest
from kok.api.printable import plain
from kok.kube import kinds
from kok.kube.client import Kube
from kok.runtime.redact import redact_text

SAID = 400
"""Characters of somebody else's sentence that a condition shows."""

_LOOKED_AT = 4 * SAID
"""Characters of it that are looked at: its blanks go."""
_LOG = 4096
"""Characters of a log that are looked at: as much as a kubelet keeps of it."""
_KLOG = re.compile(r"^[IWEF]\d{4} [\d:.]+ +\d+ [\w./-]+:\d+\] ")
"""What klog writes in front of a message: severity, date, time, thread and place in the code."""
_TELLING = (re.compile(r"^(Error|panic|fatal|F\d{4} )"), re.compile(r"^E\d{4} "))

_TIMES = ("deprecatedFirstTimestamp", "deprecatedLastTimestamp", "eventTime")
_COMPLAINTS = frozenset(
    {"Unhealthy", "ProbeError", "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"}
)


@dataclass(frozen=True, slots=True)
class EventSummary:
    """An event, however often it was repeated."""

    reason: str
    note: str
    since: datetime
    last: datetime


async def events_about(kube: Kube, about: Manifest) -> list[EventSummary]:
    """What is told of this very object, the latest first. Raises `KubeError`.

    Needs the right to list `events` of `events.k8s.io`. Events go after an hour.
    """
    meta = about["metadata"]
    chosen = {"regarding.kind": str(about["kind"]), "regarding.name": str(meta["name"])}
    keep = partial(event_gist, meta.get("uid"))
    told = await kube.list(kinds.EVENT, meta["namespace"], fields=chosen, keep=keep)
    return summaries_of(told, meta.get("uid"))


def event_gist(uid: str | None, event: Manifest) -> Manifest | None:
    """For `keep` of a list of events: what is read of one about the object with that UID."""
    if (event.get("regarding") or {}).get("uid") != uid:
        return None
    series = event.get("series") or {}
    created = (event.get("metadata") or {}).get("creationTimestamp")
    found: Manifest = {key: event[key] for key in _TIMES if key in event}
    return found | {
        "regarding": {"uid": uid},
        "metadata": {"creationTimestamp": created},
        "series": {"lastObservedTime": series.get("lastObservedTime")},
        "reason": str(event.get("reason") or "")[:SAID],
        "note": str(event.get("note") or "")[:_LOOKED_AT],
    }


def summaries_of(events: Iterable[Manifest], uid: str | None) -> list[EventSummary]:
    """The events about the object with that UID, the latest first."""
    found = [
        one
        for event in events
        if (event.get("regarding") or {}).get("uid") == uid and (one := _summary(event)) is not None
    ]
    return sorted(found, key=lambda one: one.last, reverse=True)


def latest_complaint(told: Iterable[EventSummary]) -> EventSummary | None:
    """What the kubelet last complained of: a failed probe, a volume or sandbox that is missing."""
    return next((one for one in told if one.reason in _COMPLAINTS), None)


def utc_text(since: datetime) -> str:
    """Since when something lasts. An age would change the sentence with every look at it."""
    return f"{since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def one_line(text: object) -> str:
    """Somebody else's words as one line that a condition can hold."""
    return plain(" ".join(str(text or "")[:_LOOKED_AT].split()))[:SAID]


def last_error_line(log: str) -> str:
    """The line of a process's last output that tells most about why it exited; without secrets."""
    kept = log[-_LOG:]
    if len(log) > _LOG:
        # Of a line without its beginning nobody knows what it gives away.
        kept = kept.partition("\n")[2]
    lines = [" ".join(line.split()) for line in kept.splitlines() if line.strip()]
    found = next(
        (hits[-1] for telling in _TELLING if (hits := [li for li in lines if telling.match(li)])),
        lines[-1] if lines else "",
    )
    return plain(redact_text(_KLOG.sub("", found)))[:SAID]


def quoted(text: object) -> str:
    """What somebody said of whom nobody knows what he says: as `one_line`, and without secrets."""
    return one_line(redact_text(text, _LOOKED_AT)) if isinstance(text, str) else ""


def _summary(event: Manifest) -> EventSummary | None:
    series = event.get("series") or {}
    times = [
        _time(event.get("deprecatedFirstTimestamp")),
        _time(event.get("eventTime")),
        _time((event.get("metadata") or {}).get("creationTimestamp")),
    ]
    since = min((time for time in times if time is not None), default=None)
    if since is None:
        return None
    later = (event.get("deprecatedLastTimestamp"), series.get("lastObservedTime"))
    last = max([since, *(time for time in map(_time, later) if time is not None)])
    return EventSummary(str(event.get("reason") or ""), one_line(event.get("note")), since, last)


def _time(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
