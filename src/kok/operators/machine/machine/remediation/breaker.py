"""The circuit breaker: where many nodes fail at once, the cause is none of theirs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kok.api.machine.machine import Machine
from kok.api.machine.remediation import MaxUnhealthy
from kok.api.shares import resolved
from kok.operators.machine.machine.remediation import ladder


def group(machine: Machine) -> tuple[str, str]:
    """Those that are counted together: of a KubeNode, or of a Cluster without one."""
    owner = next((o.uid for o in machine.metadata.owner_references if o.controller), None)
    return machine.namespace, owner or f"Cluster {machine.spec.cluster}"


def unhealthy(machines: Iterable[Machine]) -> list[str]:
    """Names of those on which something has failed now."""
    return sorted(
        m.name for m in machines if not m.deleting and ladder.active(m.status.remediation)
    )


def holds(limit: MaxUnhealthy, machines: Sequence[Machine]) -> str:
    """Why nothing is to be done about any of these, as a sentence; empty: something may be.

    A share always allows one: of three nodes a quarter is none, and nothing would ever be done.
    """
    there = [m for m in machines if not m.deleting]
    ill, most = unhealthy(there), resolved(limit, len(there))
    if len(ill) <= most:
        return ""
    return (
        f"{len(ill)} of {len(there)} nodes are unhealthy, more than spec.remediation.maxUnhealthy "
        f"({limit}) allows, which is {most}: the cause is most probably what they have in common, such "
        "as the network, a registry or a change, so nothing is done about any of them"
    )
