"""What is wrong with a host that has served, by what is seen of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from kok.api.fields import span
from kok.api.machine.remediation import RemediationStatus
from kok.operators.machine import reasons
from kok.operators.machine.component import catalog, component_jobs
from kok.operators.machine.component.render import Rendered
from kok.operators.machine.machine.remediation.ladder import Fault
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote import host_paths
from kok.operators.machine.remote.ssh import HostSilent, HostUnreachable
from kok.operators.machine.remote.survey import Found
from kok.operators.machine.remote.watching import GRACE, Told, Watch, Watched

SKEW_MOST = 60.0
"""Seconds by which a host's clock may be wrong: beyond it certificates and leases mean nothing."""
SETTLE: Final[Mapping[str, timedelta]] = {
    reasons.SERVICE_DOWN: timedelta(seconds=2),
    reasons.SERVICE_LOOPING: timedelta(seconds=2),
    reasons.SERVICE_HUNG: timedelta(seconds=1),
    reasons.NODE_FAILING: timedelta(seconds=30),
}
"""For which a fault has to last, as recorded, before anything is tried: long enough for those of other
nodes to be recorded as well, so that the breaker counts what happens to many at once."""
_STATES: Final[Mapping[str, tuple[str, str]]] = {
    "down": (reasons.SERVICE_DOWN, "does not run"),
    "stopping": (reasons.SERVICE_DOWN, "does not come to its end"),
    "restarting": (reasons.SERVICE_DOWN, "ended, and does not start again"),
    "starting": (reasons.SERVICE_DOWN, "has been starting for long"),
    "looping": (reasons.SERVICE_LOOPING, "ends again and again"),
}
STARTING = 120.0
"""Seconds in which a service may be starting: a runtime looks at all its containers first."""


_DISABLES: Final = frozenset({*SETTLE, reasons.HOST_DEAD})
"""Faults with which a node does not serve, whatever its cluster takes it for."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is wrong, as far as it can be said."""

    fault: Fault | None = None
    certain: bool = False
    """Whether no fault means that all is well."""
    reached: bool = True
    """Whether something could be done at the host."""
    after: float | None = None
    """Seconds until something that was just seen counts as a fault."""


def disables(known: RemediationStatus | None) -> bool:
    """Whether a node does not serve now for a fault, such as a runtime that hangs: its cluster learns of
    that late, if at all. Software of users tells nothing of their nodes."""
    if known is None or known.well is not None or known.fault not in _DISABLES:
        return False
    return known.component is None or known.component in catalog.builtin()


def services(wanted: Mapping[str, Rendered], *, joined: bool) -> list[tuple[str, str]]:
    """The services that have to run, each with its component, in the order of dependencies."""
    return [
        (name, component)
        for component in component_jobs.needed_first(wanted, wanted)
        for name in wanted[component].services
        if joined or component != host_paths.KUBELET
    ]


def watch(wanted: Mapping[str, Rendered], *, joined: bool) -> Watch:
    """What to watch on the host."""
    listed = services(wanted, joined=joined)
    units: dict[str, tuple[str, ...]] = {}
    for name, component in listed:
        units[component] = (*units.get(component, ()), name)
    return Watch(
        services=tuple(name for name, _ in listed),
        health={
            component: (text, names)
            for component, names in units.items()
            if (text := wanted[component].scripts.get("health"))
        },
        paths=tuple(sorted({f.path for item in wanted.values() for f in item.files})),
    )


def find(view: MachineView, wanted: Mapping[str, Rendered]) -> Seen:
    """What is wrong with a host that has served; of others it is their installation that tells."""
    error, node = view.memory.error, view.objects.node
    if isinstance(error, HostUnreachable | HostSilent):
        # Where its Node is well it is the way to it that is not.
        dead = view.objects.nodes_known and node is not None and node.ready is not True
        return Seen(_dead(view) if dead else None, reached=False)
    watched = view.memory.watched
    if watched is None or not watched.rounds or not wanted:
        return Seen(reached=error is None)
    if (fault := _surroundings(view, watched)) is not None:
        return Seen(fault)
    found, after = _service(view, watched, services(_there(view, wanted), joined=True))
    if found is not None or after is not None:
        return Seen(found, after=after)
    # While a service is about to be asked nobody knows whether it works. A host may tell of others, too.
    ours = watch(wanted, joined=True).health
    asked = all(told.word != "wait" for name, told in watched.health.items() if name in ours)
    if host_paths.KUBELET in wanted:
        asked = asked and node is not None and node.ready is True
        return Seen(silent := _silent(view), certain=silent is None and asked)
    return Seen(certain=asked)


def _there(view: MachineView, wanted: Mapping[str, Rendered]) -> dict[str, Rendered]:
    """Without what was never put on the host, as it waits for a drain: that has nothing to run."""
    survey = view.memory.survey
    known = survey.found if survey is not None else {}
    none = Found()
    return {
        name: item
        for name, item in wanted.items()
        if (found := known.get(name, none)).begun or found.version
    }


def _dead(view: MachineView) -> Fault:
    text = (
        f"host {view.machine.spec.address} does not answer over SSH, and node {view.machine.spec.node} "
        "is not Ready"
    )
    # However little patience is asked for, the breaker has to know of the others.
    least = SETTLE[reasons.SERVICE_DOWN]
    settle = max(least, span(view.machine.spec.remediation.patience.replace))
    return Fault(reasons.HOST_DEAD, text, rungs=("Replace",), settle=settle)


def _surroundings(view: MachineView, watched: Watched) -> Fault | None:
    """What no restart mends, and what keeps services from working."""
    if watched.full:
        text = f"the disk is full below {watched.full}; free some room, and services recover"
        return Fault(reasons.DISK_FULL, text, rungs=())
    survey = view.memory.survey
    if survey is not None and abs(survey.skew) > SKEW_MOST:
        way = "ahead of" if survey.skew > 0 else "behind"
        text = (
            f"the clock of the host is {abs(survey.skew):.0f} s {way} the operator's; set up time "
            "synchronisation there"
        )
        return Fault(reasons.CLOCK_SKEWED, text, rungs=())
    return None


def _service(
    view: MachineView, watched: Watched, listed: Sequence[tuple[str, str]]
) -> tuple[Fault | None, float | None]:
    """The first service that fails; or the seconds until one that was just seen to fail counts."""
    waits: list[float] = []
    for name, component in listed:
        told = watched.services.get(name)
        if told is not None and told.word != "ok":
            left = told.since + _grace(told) - view.monotonic
            if left <= 0:
                kind, text = _STATES[told.word]
                said = f"service {name} on the host {text}{_result(told)}"
                return _of_service(kind, said, name, component), None
            waits.append(left)
        health = watched.health.get(component)
        if health is not None and health.word == "bad" and (told is None or told.word == "ok"):
            text = (
                f"service {name} on the host does not work: {health.detail or 'it answers nothing'}"
            )
            return _of_service(reasons.SERVICE_HUNG, text, name, component), None
    return None, min(waits, default=None)


def _grace(told: Told) -> float:
    return STARTING if told.word == "starting" else GRACE


def _result(told: Told) -> str:
    result = told.detail.rpartition(" ")[2]
    return f" ({result})" if result not in ("", "none", "success") else ""


def _of_service(kind: str, text: str, service: str, component: str) -> Fault:
    return Fault(kind, text, service, component, settle=SETTLE[kind])


def _silent(view: MachineView) -> Fault | None:
    """A Node that is not Ready although all services on its host seem to work."""
    connection, node = view.objects.connection, view.objects.node
    if node is None or node.ready is True or not view.objects.nodes_known:
        return None
    if connection is None or connection.answers is False:
        return None
    if "NetworkPluginNotReady" in node.message:
        # Its network plugin is pods of the cluster, which no restart of the host's services brings.
        return None
    said = node.message or "its kubelet posts nothing"
    text = f"node {node.name} is not Ready although all services on its host run: {said}"
    kind = reasons.NODE_FAILING
    return Fault(kind, text, settle=SETTLE[kind])
