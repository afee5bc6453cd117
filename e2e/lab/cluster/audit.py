"""What the meta API server's audit log says about writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Write:
    """One request that the API server took as a write, whether it was granted or refused.

    ``at`` is when the request came in, ``code`` its HTTP status, ``denied`` whether whoever asked
    lacked a right: a quota or a policy, or a namespace that goes away, refuses with the same status.
    """

    at: datetime
    verb: str
    user_agent: str
    user: str
    resource: str
    namespace: str
    name: str
    code: int
    denied: bool = False


def parse(lines: Iterable[str], since: datetime) -> list[Write]:
    """The writes since a moment, oldest first. A line that is cut off (the log turns over while
    it is read) is left out."""
    found = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        write = _write(event)
        if write.at >= since:
            found.append(write)
    return sorted(found, key=lambda write: write.at)


def by_user_agent(writes: Iterable[Write]) -> Counter[str]:
    """How many writes came from whom, Leases apart: a live client renews these without end."""
    return Counter(write.user_agent for write in writes if write.resource != "leases")


def _write(event: dict[str, object]) -> Write:
    reference = _mapping(event.get("objectRef"))
    subresource = reference.get("subresource")
    resource = str(reference.get("resource", ""))
    return Write(
        at=datetime.fromisoformat(str(event["requestReceivedTimestamp"])),
        verb=str(event["verb"]),
        user_agent=str(event.get("userAgent", "")),
        user=str(_mapping(event.get("user")).get("username", "")),
        resource=f"{resource}/{subresource}" if subresource else resource,
        namespace=str(reference.get("namespace", "")),
        name=str(reference.get("name", "")),
        code=int(str(_mapping(event.get("responseStatus")).get("code", 0))),
        denied=_denied(event),
    )


def _denied(event: dict[str, object]) -> bool:
    said = str(_mapping(event.get("responseStatus")).get("message", ""))
    decision = _mapping(event.get("annotations")).get("authorization.k8s.io/decision")
    # Whoever hands on rights has to have them himself, which is looked at after the authorizer.
    return decision == "forbid" or "attempting to grant RBAC permissions" in said


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
