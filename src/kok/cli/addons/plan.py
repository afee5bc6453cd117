"""What a command makes of `spec.addons`, and why of each addon. Pure.

All of it is in the one field: what a command writes there is what somebody would write into Git.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kok.addons import DEFAULTS, FACTS, TUNNEL_AGENT, AddonFacts
from kok.api.cluster.cluster import Cluster
from kok.cli.addons.suiting import ClusterFacts, objection
from kok.cli.addons.values import merged
from kok.cli.query import Refused

Entry = dict[str, Any]
State = Literal["Added", "Changed", "Removed", "There", "Left"]
OWN = (
    "name a chart of your own by --chart, or create an Addon object for manifests "
    "(examples/addon.yaml)"
)


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one addon."""

    name: str
    state: State
    """`There`: it is as it should be. `Left`: it is not there, and stays so."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `spec.addons` is to be."""

    entries: list[Entry]
    steps: list[Step] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        """Whether anything is to be written."""
        return any(step.state in {"Added", "Changed", "Removed"} for step in self.steps)

    def of(self, *states: State) -> list[str]:
        """The addons that this becomes of."""
        return [step.name for step in self.steps if step.state in states]


Catalogue = Mapping[str, AddonFacts]
"""What there is to choose from; that of KOK unless a test has another."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What is decided by."""

    cluster: Cluster
    entries: list[Entry]
    """Its `spec.addons` as it is written."""
    facts: ClusterFacts
    known: Catalogue = field(default_factory=lambda: FACTS)

    def rivals(self, name: str) -> list[str]:
        """Addons beside that one of which a cluster has one."""
        role = self.known[name].role
        return [
            one for one, about in self.known.items() if role and about.role == role and one != name
        ]


def everything(ground: Ground) -> Plan:
    """All that suits the cluster and is not there, but for what somebody switched off."""
    cluster, facts, known = ground.cluster, ground.facts, ground.known
    plan = Plan([dict(one) for one in ground.entries])
    named = {one["name"] for one in plan.entries}
    there = set(cluster.spec.wanted_addons())
    for name in known:
        why = objection(known[name], facts)
        # What comes with the tunnel is nobody's to name.
        if name in there or (name == TUNNEL_AGENT and why is None and name not in named):
            plan.steps.append(Step(name, "There"))
            continue
        if why is None and name in named:
            why = "it is switched off in spec.addons; name it to install it"
        if why is None:
            rivals = [rival for rival in ground.rivals(name) if rival in there]
            why = f"{rivals[0]} does the same" if rivals else None
        if why is not None:
            plan.steps.append(Step(name, "Left", why))
            continue
        plan.entries.append({"name": name})
        plan.steps.append(Step(name, "Added"))
        there.add(name)
    return plan


def one(ground: Ground, name: str, values: Mapping[str, Any]) -> Plan:
    """That addon with these values over those that it has; another one of its role goes, as long as
    there is no node. Raises `Refused`."""
    cluster, facts, known = ground.cluster, ground.facts, ground.known
    check_known(name, known)
    if (why := objection(known[name], facts)) is not None:
        raise Refused(f"{name} does not suit {cluster}: {why}")
    before = [dict(one) for one in ground.entries]
    plan, there = Plan(before), set(cluster.spec.wanted_addons())
    for rival in ground.rivals(name):
        if rival in there:
            _check_exchange(cluster, name, rival, facts)
            gone = Step(rival, "Removed", f"{name} comes in its place")
            plan = Plan(without(plan.entries, rival), [*plan.steps, gone])
    mine = _entry(before, name)
    kept = mine.get("values") or {}
    wanted: Entry = {"name": name}
    if made := merged(kept, values):
        wanted["values"] = made
    # What comes with a tunnel is there, unless it is switched off.
    if name in there or (name == TUNNEL_AGENT and mine.get("enabled", True)):
        if made == kept:
            return Plan(plan.entries, [*plan.steps, Step(name, "There")])
        return Plan(_with(plan.entries, wanted), [*plan.steps, Step(name, "Changed")])
    return Plan(_with(plan.entries, wanted), [*plan.steps, Step(name, "Added")])


def changed(entries: Iterable[Entry], name: str, values: Mapping[str, Any], *, reset: bool) -> Plan:
    """The same addon with other values: over those that it has, or (`reset`) in their place."""
    before = [dict(one) for one in entries]
    kept = _entry(before, name).get("values") or {}
    made = merged({} if reset else kept, values)
    if made == kept:
        return Plan(before, [Step(name, "There")])
    wanted: Entry = {"name": name, **({"values": made} if made else {})}
    return Plan(_with(before, wanted), [Step(name, "Changed")])


def less(cluster: Cluster, entries: Iterable[Entry], name: str) -> Plan:
    """Without that addon, and without its values. Raises `Refused`."""
    if name == TUNNEL_AGENT:
        raise Refused(
            f"{name} comes and goes with the tunnel; write spec.network.tunnel: Never to {cluster}"
        )
    return Plan(without(entries, name), [Step(name, "Removed")])


def without(entries: Iterable[Entry], name: str) -> list[Entry]:
    """The entries without that addon: one that comes by default has to be switched off."""
    if name in DEFAULTS:
        return _with(list(entries), {"name": name, "enabled": False})
    return [dict(one) for one in entries if one["name"] != name]


def check_known(name: str, known: Catalogue = FACTS) -> None:
    """Raises `Refused` with a sentence for a name that is not built in."""
    if name not in known:
        listed = ", ".join(known)
        raise Refused(f"{name} is not built in; write one of {listed}, or {OWN}")


def _check_exchange(cluster: Cluster, name: str, rival: str, facts: ClusterFacts) -> None:
    if facts.nodes:
        role = "pods" if facts.nodes == 1 else f"pods on {facts.nodes} nodes"
        raise Refused(
            f"{cluster} has {rival}, which does the same as {name}, and {role} that live by it; the "
            "two are exchanged only while a cluster has no node"
        )


def _entry(entries: Iterable[Entry], name: str) -> Entry:
    return next((one for one in entries if one["name"] == name), {})


def _with(entries: list[Entry], wanted: Entry) -> list[Entry]:
    """The entries with this one in the place of that of the same name, or behind the others."""
    names = [one["name"] for one in entries]
    if wanted["name"] not in names:
        return [*entries, wanted]
    return [wanted if one["name"] == wanted["name"] else one for one in entries]
