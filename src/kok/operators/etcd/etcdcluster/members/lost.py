"""Which members are lost for good, and why. Pure functions.

To call a member lost is grave: while the others have a quorum it is removed and replaced, and its
volume is deleted. So each rule here wants proof that the member cannot come back with its data,
or was seen to be gone for as long as `spec.recovery.replaceAfter` says. Out of memory, a full disk, a
wrong setting, a network that is cut are no losses: the member comes back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMember
from kok.api.fields import span
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.members import roles, templates
from kok.operators.etcd.etcdcluster.observed.model import Answer, Observed
from kok.operators.etcd.etcdcluster.observed.watches import counted
from kok.operators.etcd.pods import is_ready

EMPTY_VOLUME = "couldn't find local name"
"""What etcd says when a member that once started finds no data; see `render.Start`."""
CORRUPT = (
    "invalid database",
    "file size too small",
    "checksum error",
    "assertion failed: Page",
    # Of longer last words only the end is kept: the functions of bbolt that assert.
    "(*Page).FastCheck(",
    "(*page).fastCheck(",
    "bbolt.(*Tx).checkInvariantProperties(",
    "unexpected fault address",
    "invalid freelist page",
    "crc mismatch",
    "cannot parse invalid wire-format data",
    "failed to read WAL, cannot be repaired",
    "failed to find database snapshot file",
    "failed to recover v3 backend from snapshot",
    "Was the raft log corrupted, truncated, or lost?",
)
"""Last words of etcd 3.5 to 3.7 over files that are damaged, found by damaging them.

What members say who find that their content differs from that of others (`initial-corrupt-check`)
is not among these: it does not tell which of them is right.
"""
CRASHES = 2
"""So often a container must have been restarted: damaged files do not mend."""


def why_lost(obj: EtcdCluster, observed: Observed, entry: EtcdMember, now: datetime) -> str | None:
    """Why a member cannot come back with its data, or None. `entry` tells since when it is ill."""
    name = entry.name
    pod = observed.get(kinds.POD, naming.pod_name(name))
    answered = observed.answers.get(name, Answer()).status is not None
    if is_ready(pod):
        return None
    gone = _volume_gone(obj, observed, name)
    if gone is not None or answered:
        return gone
    return _content_gone(name, pod) or _stranded(obj, observed, entry, now)


def is_removed(obj: EtcdCluster, observed: Observed, entry: EtcdMember) -> bool:
    """Whether a member that took part is not in the list any more that a majority agrees on."""
    if entry.id is None or entry.state == "Leaving":
        return False
    listed = roles.agreed(obj, observed)
    return listed is not None and roles.listing(obj, listed, entry.name) is None


def who_omits(obj: EtcdCluster, observed: Observed, entry: EtcdMember) -> list[str]:
    """Members whose lists lack one that took part, where no majority says so."""
    if entry.id is None or roles.agreed(obj, observed) is not None:
        return []
    lists = roles.lists_by_member(obj, observed)
    return sorted(n for n, one in lists.items() if roles.listing(obj, one, entry.name) is None)


def _volume_gone(obj: EtcdCluster, observed: Observed, name: str) -> str | None:
    claim = observed.get(kinds.PVC, name)
    if claim is None:
        if not roles.volume_is_gone(obj, observed, name):
            return None
        return (
            f"its volume, PersistentVolumeClaim {name}, is gone; it is not started again, since "
            "without its data it could make the others forget what they confirmed"
        )
    if (claim.get("status") or {}).get("phase") == "Lost":
        return f"its volume, the PersistentVolume of PersistentVolumeClaim {name}, is gone"
    return None


def _content_gone(name: str, pod: Manifest | None) -> str | None:
    words = str(terminated(pod).get("message") or "")
    if EMPTY_VOLUME in words:
        return (
            f"its volume, PersistentVolumeClaim {name}, is empty although the member had started "
            "before; it refuses to start, since without its data it could make the others forget "
            "what they confirmed"
        )
    found = next((sign for sign in CORRUPT if sign in words), None)
    if found is None or container(pod).get("restartCount", 0) < CRASHES:
        return None
    return f"its data on PersistentVolumeClaim {name} is damaged: etcd ends with `{found}`"


def _stranded(obj: EtcdCluster, observed: Observed, entry: EtcdMember, now: datetime) -> str | None:
    """Whether the member's node took it along: the pod can neither end nor run elsewhere."""
    pod = observed.get(kinds.POD, naming.pod_name(entry.name))
    patience, since = obj.spec.recovery.replace_after, entry.unhealthy_since
    if pod is None or since is None or now - counted(since, observed, now) < span(patience):
        return None
    going = pod["metadata"].get("deletionTimestamp")
    if going and now > datetime.fromisoformat(going) + observed.tuning.pod_stuck_after:
        node = (pod.get("spec") or {}).get("nodeName")
        return f"its node {node} has been gone for more than {patience}, and its pod cannot end"
    if templates.was_reset(entry, pod):
        # Nobody was gone: what it was given last may ask for what no node has. So would a successor.
        return None
    bound = ((observed.get(kinds.PVC, entry.name) or {}).get("status") or {}).get(
        "phase"
    ) == "Bound"
    if bound and (text := unscheduled(pod)) is not None:
        return f"its pod has found no node for more than {patience}: {text}"
    return None


# --- what a pod tells


def unscheduled(pod: Manifest) -> str | None:
    """Why no node takes a pod, or None if one has."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message", ""))
    return None


def lacks_settings(pod: Manifest | None) -> bool:
    """Whether etcd's container waits for what it is to be told by the start map."""
    waiting = (container(pod).get("state") or {}).get("waiting") or {}
    return waiting.get("reason") == "CreateContainerConfigError"


def container(pod: Manifest | None) -> dict[str, Any]:
    """The state of etcd's container; empty if it is not known."""
    statuses = ((pod or {}).get("status") or {}).get("containerStatuses") or ()
    return next((dict(status) for status in statuses if status["name"] == "etcd"), {})


def terminated(pod: Manifest | None) -> dict[str, Any]:
    """How the container last ended; empty if it never did."""
    found = container(pod)
    for state in (found.get("state"), found.get("lastState")):
        if state and state.get("terminated"):
            return dict(state["terminated"])
    return {}
