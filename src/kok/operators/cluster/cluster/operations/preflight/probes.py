"""What comes of the probes before an upgrade: pods of the new version that only say what they are. Pure.

A probe is settled once it says its version, or why there will be no such pod. Those that passed are
recorded and go; others stay, or are made anew now and then, since what keeps them may be mended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from kok.api.meta import Manifest
from kok.operators.cluster.naming import API_SERVER, LABEL_PROBED, LABEL_VERSION, SPEC_FIELDS
from kok.runtime.pods import admission
from kok.runtime.pods.messages import PULL_FAILED, UNBORN, last_error_line, one_line

AGAIN = timedelta(seconds=60)
"""How old a probe is that failed when another one is made in its place."""
LATE = timedelta(seconds=330)
"""How old one is of which nobody tells anything when that is said."""
UNHEARD = timedelta(seconds=20)
"""For how long after its end it is tried to read what one said."""
_VERSION = re.compile(r"Kubernetes (v\d+\.\d+\.\d+\S{0,64})", re.ASCII)

State = Literal["running", "ended", "waits", "failed"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why there will be no such pod, or what else is wrong with it."""

    check: Literal["Room", "Images"]
    component: str
    message: str
    error: bool = True
    """Whether an upgrade could not end well."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How one probe is."""

    state: State
    """`waits`: for room that another one may have, `ended`: well, so that it can be asked for its version."""
    trouble: Trouble | None = None
    again: bool = False
    """Whether it is time for another one in its place."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What is known of all probes that are wanted."""

    passed: tuple[str, ...] = ()
    """Names of those that were as they should be."""
    troubles: tuple[Trouble, ...] = ()
    pending: tuple[str, ...] = ()
    """Names of those of which nothing is known yet."""
    components: frozenset[str] = frozenset()
    """What these are of."""
    wanted: int = 0
    tried: bool = True
    """Whether pods were made; otherwise the API server was only asked whether it would have them."""

    @property
    def waiting_for(self) -> str:
        """What is waited for, as the rest of a sentence; empty if nothing is."""
        if not self.pending:
            return ""
        done = self.wanted - len(self.pending)
        return (
            f"pods that try its images and find room for them, {done} of {self.wanted} are through"
        )


def is_small(name: str) -> bool:
    """Whether a probe only brings an image to one more node."""
    return "-probe-0-" not in name


def component_of(pod: Manifest) -> str:
    """What a probe is of."""
    return str((pod["metadata"].get("labels") or {}).get(LABEL_PROBED, API_SERVER))


def version_of(pod: Manifest) -> str:
    """The version that it is of."""
    return str((pod["metadata"].get("labels") or {}).get(LABEL_VERSION, ""))


def look_at(pod: Manifest, now: datetime) -> Seen:
    """How a probe is, as its pod tells; what it said stands nowhere in that."""
    component, status = component_of(pod), pod.get("status") or {}
    age = now - _time((pod["metadata"]).get("creationTimestamp"), now)
    container = next((c for c in _containers(status) if c.get("name") == component), {})
    state: dict[str, Any] = container.get("state") or {}
    if (ended := state.get("terminated")) is not None:
        if ended.get("exitCode") == 0:
            return Seen("ended", again=age > AGAIN)
        text = last_error_line(str(ended.get("message") or "")) or str(
            ended.get("reason") or "nothing"
        )
        what = f"{component} of {_image(container)} exits with {ended.get('exitCode')}: {text}"
        return _failed("Images", component, what, age)
    waiting = state.get("waiting") or {}
    reason, message = str(waiting.get("reason") or ""), one_line(waiting.get("message"))
    if reason in PULL_FAILED:
        what = (
            f"image {_image(container)} cannot be pulled: {message or reason}; put it into the "
            "registry, or set spec.images"
        )
        return _failed("Images", component, what, age)
    if reason in UNBORN:
        return _failed("Room", component, f"a pod of it cannot start: {message or reason}", age)
    if status.get("phase") == "Failed":
        what = (
            one_line(status.get("message")) or one_line(status.get("reason")) or "nobody says why"
        )
        return _failed("Room", component, f"a pod of it failed: {what}", age)
    return _unbound(component, status, age)


def _unbound(component: str, status: Mapping[str, Any], age: timedelta) -> Seen:
    for condition in status.get("conditions") or ():
        told = (condition.get("type"), condition.get("status"), condition.get("reason"))
        if told == ("PodScheduled", "False", "Unschedulable"):
            what = (
                f"no meta node takes one more pod of {component}: {one_line(condition.get('message'))}; "
                f"make room, or set spec.{SPEC_FIELDS[component]}"
            )
            return Seen("waits", Trouble("Room", component, what))
    if age > LATE:
        what = f"a pod of {component} has not started within {LATE.total_seconds() / 60:.0f} min"
        return _failed("Room", component, what, age)
    return Seen("running")


def _failed(check: Literal["Room", "Images"], component: str, message: str, age: timedelta) -> Seen:
    return Seen("failed", Trouble(check, component, message), again=age > AGAIN)


def is_fresh(pod: Manifest, now: datetime) -> bool:
    """Whether one that has ended did so a moment ago: what it said may yet be read."""
    for one in _containers(pod.get("status") or {}):
        ended = ((one.get("state") or {}).get("terminated") or {}).get("finishedAt")
        if one.get("name") == component_of(pod):
            return now - _time(ended, now - UNHEARD) < UNHEARD
    return False


def wrong_version(component: str, text: str, version: str, image: str) -> Trouble | None:
    """Whether a program is another one than its image is called; vendors may add to the number."""
    found = _VERSION.search(text)
    told = found[1] if found is not None else ""
    if told == f"v{version}" or told.startswith((f"v{version}+", f"v{version}-")):
        return None
    what = f"says {told}" if told else "does not say its version"
    message = f"{component} of image {image} {what}, and should be v{version}; mend the registry"
    return Trouble("Images", component, message)


def refused(component: str, name: str, message: str) -> Trouble:
    """What the API server said of a probe that it did not take."""
    if "cannot create resource" in message:
        text = (
            "nothing was tried, since the operator may not create pods; upgrade its chart, whose "
            "rights allow that"
        )
        return Trouble("Room", component, text, error=False)
    if is_small(name):
        text = f"its image is not brought to further nodes: {one_line(message)}"
        return Trouble("Images", component, text, error=False)
    field_ = f"spec.{SPEC_FIELDS[component]}.resources"
    return Trouble(
        "Room", component, f"one more {component}: {admission.sentence(message, field_)}"
    )


def _image(container: Mapping[str, Any]) -> str:
    return one_line(container.get("image")) or "its image"


def _containers(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for one in status.get("containerStatuses") or () if isinstance(one, dict)]


def _time(text: object, default: datetime) -> datetime:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return default
