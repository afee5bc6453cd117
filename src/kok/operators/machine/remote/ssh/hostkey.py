"""Which host key is to be expected, and what to say if another one is shown. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from kok.api.names import ANNOTATION_TRUST_HOST_KEY

FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@dataclass(frozen=True, slots=True)
class Expected:
    """The one key to accept, or None at first use, and where that is said."""

    fingerprint: str | None
    source: str = field(default="", compare=False)
    """`annotation`, `spec` or `status`; of a bastion `jump`."""
    since: datetime | None = field(default=None, compare=False)


def expected(
    annotation: str | None, pinned: str, recorded: str | None, since: datetime | None
) -> Expected:
    """The annotation names the one new key to trust; then the spec's pin; then what was recorded.

    An annotation that is no fingerprint is as good as none.
    """
    if annotation and FINGERPRINT.fullmatch(annotation):
        return Expected(annotation, "annotation")
    if pinned:
        return Expected(pinned, "spec")
    return Expected(recorded or None, "status", since)


def changed(host: str, found: str, want: Expected) -> str:
    """The sentence for a host that shows another key than the expected one."""
    shows = f"host {host} shows key {found}"
    if want.source == "jump":
        return (
            f"bastion {host} shows key {found} but {want.fingerprint} is written in the spec; if the "
            "bastion was reinstalled, correct ssh.jump.hostKey"
        )
    trust = f"{ANNOTATION_TRUST_HOST_KEY}={found}"
    if want.source == "spec":
        return (
            f"{shows} but {want.fingerprint} is written in the spec; if the host was reinstalled, "
            f"correct hostKey or annotate the Machine with {trust}"
        )
    if want.source == "annotation":
        return (
            f"{shows} but the annotation {ANNOTATION_TRUST_HOST_KEY} says {want.fingerprint}; "
            f"if the host was reinstalled, annotate the Machine with {trust}"
        )
    when = f" was recorded on {want.since:%Y-%m-%d}" if want.since else " was recorded"
    return (
        f"{shows} but {want.fingerprint}{when}; if the host was reinstalled, annotate the "
        f"Machine with {trust}"
    )
