"""Why the meta cluster refuses pods: quotas, limit ranges, policies, webhooks.

Kubernetes tells it of the objects that make pods: a Deployment has a condition (`ReplicaFailure`),
StatefulSets and Jobs have nothing but Events. Users get it quoted, with what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Forbidden
from kok.runtime.pods.messages import event_gist

FAILED_CREATE = "FailedCreate"
"""Reason of the Events, and of a condition `ReplicaFailure`."""
LIMIT = 500
_PREFIX = re.compile(r"^(?:Error creating: |create Pod \S+ in StatefulSet \S+ failed error: )")
_WHICH = re.compile(r'^pods "[^"]{1,253}" is forbidden: ')
_RESOURCES = ("failed quota", "exceeded quota", " usage per ", "limit to request ratio")


async def refusal(kube: Kube, owner: Manifest, field: str) -> str | None:
    """Why the pods of a StatefulSet or a Job are refused, as a sentence; None if nothing is known.

    `field` is where the user writes what they ask for. To be asked only while there is no pod: an
    Event stays for an hour.
    """
    meta = owner["metadata"]
    fields = {"regarding.name": meta["name"], "reason": FAILED_CREATE}
    try:
        keep = partial(event_gist, meta["uid"])
        events = await kube.list(kinds.EVENT, meta["namespace"], fields=fields, keep=keep)
    except Forbidden:
        # An operator that was installed with lesser rights has less to say.
        return None
    note = newest(events, meta["uid"])
    return None if note is None else sentence(note, field)


def newest(events: Iterable[Manifest], uid: str) -> str | None:
    """What the latest Event about the object with this UID says."""
    mine = [e for e in events if (e.get("regarding") or {}).get("uid") == uid]
    mine = [e for e in mine if e.get("reason") == FAILED_CREATE and e.get("note")]
    return str(max(mine, key=_when)["note"]) if mine else None


def sentence(note: str, field: str) -> str:
    """What was refused, and what to do. Names of pods that are made up anew each time are left
    out, or the sentence would change all the time.
    """
    why = _WHICH.sub("", _PREFIX.sub("", note[: LIMIT * 2], count=1), count=1)
    why = why if len(why) <= LIMIT else why[: LIMIT - 3] + "..."
    if any(sign in why for sign in _RESOURCES):
        advice = f"set {field}, or change the namespace's ResourceQuota or LimitRange"
    else:
        advice = "change what refuses it: a policy or an admission webhook of the meta cluster"
    return f"its pod is refused: {why}; {advice}"


def _when(event: Manifest) -> str:
    series = event.get("series") or {}
    found = (
        series.get("lastObservedTime"),
        event.get("deprecatedLastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    # All in UTC and of one form, whatever follows the seconds.
    return max(str(one)[:19] for one in found if one) if any(found) else ""
