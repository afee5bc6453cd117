"""`kok addons install`, `upgrade` and `remove`: what is written, and what is waited for then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kok.addons import FACTS, TUNNEL_AGENT
from kok.api import names
from kok.api.cluster.addon import Addon
from kok.api.meta import Manifest
from kok.cli.addons import own
from kok.cli.addons import plan as plans
from kok.cli.addons.chart import Chart, addon_of
from kok.cli.addons.own import Wanted
from kok.cli.addons.plan import Ground, Plan, Step
from kok.cli.addons.preview import bundle_of, intended
from kok.cli.addons.progress import Awaited, Tell, follow
from kok.cli.addons.world import ADDON, Here, Written, as_yaml, for_git, here, resting, write
from kok.cli.gitops import keeper
from kok.cli.options import KubectlOptions
from kok.cli.query import Refused


@dataclass(frozen=True, slots=True)
class How:
    """How a change is made."""

    namespace: str | None
    options: KubectlOptions
    tell: Tell
    """Told of every step, a line each."""
    timeout: float = 300.0
    """Seconds after which it is not followed any more; 0: not at all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a change."""

    good: bool
    git: str = ""
    """What is to be written into Git, where the Cluster is kept as it stands there."""


async def install(cluster: str, name: str | None, values: Mapping[str, Any], how: How) -> Outcome:
    """That addon, or (None) all that suit the cluster. Raises `KubeError`, and `Refused`."""
    async with here(cluster, how.namespace, how.options) as at:
        facts = await at.facts()

        def planned(now: Here) -> Plan:
            ground = Ground(now.cluster, now.entries, facts)
            return plans.everything(ground) if name is None else plans.one(ground, name, values)

        first = planned(at)
        for added in first.of("Added", "Changed"):
            await _check_values(at, first, added)
        return await _carried_out(at, await write(at, planned), how)


async def install_chart(cluster: str, chart: Chart, values: Mapping[str, Any], how: How) -> Outcome:
    """An Addon of a chart of the user's own. Raises `KubeError`, and `Refused`."""
    async with here(cluster, how.namespace, how.options) as at:
        wanted = addon_of(at.cluster, chart, values)
        name = str(wanted["metadata"]["name"])
        if (kept_by := keeper(at.manifest["metadata"])) is not None:
            how.tell(_for_git(at, kept_by))
            return Outcome(good=False, git=as_yaml(wanted))
        await own.check_free(at, name)
        done = await at.kube.create(wanted)
        how.tell(f"{name}: Addon {at.cluster.namespace}/{name} is created")
        generation = int(done["metadata"].get("generation") or 0)
        return await _followed(at, [Awaited(name, name, generation=generation)], how)


async def upgrade(cluster: str, name: str, wanted: Wanted, how: How) -> Outcome:
    """Other values or another version of an addon that is there. Raises `KubeError`, and `Refused`."""
    async with here(cluster, how.namespace, how.options) as at:
        found = _builtin(at, name)
        if found is None:
            generation = await own.upgraded(at, name, wanted)
            done = "is there already" if generation is None else f"changed in Addon {name}"
            how.tell(f"{name}: {done}")
            return await _followed(at, [Awaited(name, name, generation=generation or 0)], how)
        if wanted.version is not None:
            raise Refused(
                f"{found} goes to another version with the Kubernetes of its Cluster and with KOK; "
                "leave --version out"
            )

        def planned(now: Here) -> Plan:
            return plans.changed(now.entries, found, wanted.values, reset=wanted.reset)

        await _check_values(at, planned(at), found)
        return await _carried_out(at, await write(at, planned), how)


@dataclass(frozen=True, slots=True)
class Removal:
    """What is going to be removed, for who has to confirm it."""

    name: str
    title: str
    warnings: list[str] = field(default_factory=list)


async def consider(cluster: str, name: str, how: How) -> Removal:
    """What the removal of an addon would take away. Raises `KubeError`, and `Refused`."""
    async with here(cluster, how.namespace, how.options) as at:
        found = _builtin(at, name)
        if found is not None:
            plans.less(at.cluster, at.entries, found)
            live = await at.addon(names.cluster_addon(cluster, found))
        else:
            live = await own.found(at, name)
            own.check_ours(live)
        warnings = await _warnings(at, found, live)
        objects = Addon.parse(live).status.objects if live is not None else 0
        title = f"{found or name} and its {objects} objects in {at.cluster}"
        return Removal(found or name, title, warnings)


async def remove(cluster: str, name: str, how: How) -> Outcome:
    """Without that addon; followed until all of it is gone. Raises `KubeError`, and `Refused`."""
    async with here(cluster, how.namespace, how.options) as at:
        found = _builtin(at, name)
        if found is not None:
            planned = partial(_less, name=found)
            return await _carried_out(at, await write(at, planned), how)
        live = await own.found(at, name)
        own.check_ours(live)
        await at.kube.delete(ADDON, name, at.cluster.namespace, uid=live["metadata"]["uid"])
        how.tell(f"{name}: Addon {at.cluster.namespace}/{name} is deleted")
        return await _followed(at, [Awaited(name, name, gone=True)], how)


def _less(now: Here, *, name: str) -> Plan:
    return plans.less(now.cluster, now.entries, name)


async def _carried_out(at: Here, written: Written, how: How) -> Outcome:
    """Tells what was written, and follows what comes of it."""
    plan, where = written.plan, at.cluster
    if written.kept_by is not None:
        how.tell(_for_git(at, written.kept_by))
        return Outcome(good=False, git=for_git(plan.entries))
    for step in plan.steps:
        how.tell(f"{step.name}: {_said(step, where)}")
    entries = {one["name"]: one for one in plan.entries}
    awaited = [
        Awaited(
            step.name,
            names.cluster_addon(where.name, step.name),
            gone=step.state == "Removed",
            values=entries.get(step.name, {}).get("values") or {},
        )
        for step in plan.steps
        if step.state != "Left"
    ]
    return await _followed(at, awaited, how)


def _for_git(at: Here, kept_by: str) -> str:
    return (
        f"{at.cluster} is kept by {kept_by} as it stands in Git: nothing was written; write this "
        "there"
    )


def _said(step: Step, where: object) -> str:
    said = {
        "Added": f"added to spec.addons of {where}",
        "Changed": f"changed in spec.addons of {where}",
        "Removed": f"taken out of spec.addons of {where}",
        "There": "is there already",
        "Left": "left out",
    }[step.state]
    return f"{said}: {step.why}" if step.why else said


async def _followed(at: Here, awaited: list[Awaited], how: How) -> Outcome:
    if (why := resting(at.cluster)) is not None:
        how.tell(why)
        return Outcome(good=True)
    if not how.timeout:
        return Outcome(good=True)
    good = await follow(at.kube, at.cluster.namespace, awaited, how.tell, how.timeout)
    return Outcome(good=good)


async def _check_values(at: Here, plan: Plan, name: str) -> None:
    """Refuses what could not be rendered, before anything is written."""
    entry = next((one for one in plan.entries if one["name"] == name), {})
    live = await at.addon(names.cluster_addon(at.cluster.name, name))
    wanted = intended(at.cluster, name, entry.get("values") or {}, live)
    if name == TUNNEL_AGENT and "server" not in wanted.spec.values:
        return  # Only the operator knows where the servers are, and not yet.
    await bundle_of(at, wanted)


def _builtin(at: Here, name: str) -> str | None:
    """The built-in addon that is meant, by its own name or by that of its object, if it is there."""
    prefix = names.cluster_addon(at.cluster.name, "")
    spec = at.cluster.spec
    there = {*spec.wanted_addons(), *({TUNNEL_AGENT} if spec.network.tunnel != "Never" else ())}
    return next((one for one in (name, name.removeprefix(prefix)) if one in there), None)


async def _warnings(at: Here, builtin: str | None, live: Manifest | None) -> list[str]:
    """What else is lost, or does not work any more."""
    inventory = Addon.parse(live).status.inventory if live is not None else []
    kinds = sorted(one.name for one in inventory if one.kind == "CustomResourceDefinition")
    spaces = sorted(one.name for one in inventory if one.kind == "Namespace")
    object_ = str(live["metadata"]["name"]) if live is not None else ""
    others = (await at.addons()).values()
    found = [
        *(f"all objects of {kind} go with it, unless that was there before" for kind in kinds),
        *(
            f"all that is in namespace {space} goes with it, unless that was there before"
            for space in spaces
        ),
        *(f"{other} depends on it" for other in others if object_ in other.spec.depends_on),
    ]
    role = FACTS[builtin].role if builtin else None
    facts = await at.facts()
    if role and facts.nodes:
        found.append(f"it is the {role} of a cluster with {facts.nodes} nodes")
    return found
