"""What is wrong with an Addon: each is told by name and place, harms nobody else, and is mended.

Templates that loop or have mistakes, values of the wrong type, charts that are missing or huge, a
repository that is away, a definition that is never established, objects of others and of another
Addon, Addons removed half way, all side by side in one Cluster without nodes; then the operator is
killed again and again while a large Addon comes and goes. Nothing is left of any of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from e2e.faults import disruption
from e2e.faults.bad_addons import (
    ADDON,
    SPACE,
    Wrong,
    addon,
    config,
    definition,
    deployment,
    from_chart,
    inline,
    mistakes,
    offer,
    says,
    text,
)
from e2e.faults.chart_repository import ChartRepository, repository
from e2e.fixtures import clusters, etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import condition, has, until, until_gone
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.polling import eventually
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube

NAMESPACE = "e2e-addons-faults"
SHOP = "shop"
FINE, MANY, CHART = "fine", "many", "missing"
LABEL = "kok.dev/addon"
OBJECTS, WAVES = 400, 5
COMING, GOING = (60, 180, 300), (260, 100)
"""How many of the large Addon's objects are there when the operator is killed."""
APPLIED = (
    kinds.CONFIGMAP,
    kinds.CUSTOMRESOURCEDEFINITION,
    kinds.DEPLOYMENT,
    kinds.CLUSTERROLE,
    kinds.STORAGECLASS,
)
"""Kinds of which there is something among what is applied."""
SOON, LONG = 600.0, 900.0

MANY_OBJECTS = f"""\
{{% for n in range({OBJECTS}) %}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {MANY}-{{{{ n }}}}
  namespace: {SPACE}
  annotations: {{kok.dev/wave: "{{{{ n % {WAVES} }}}}"}}
data: {{number: "{{{{ n }}}}"}}
{{% endfor %}}
"""

Mend = Callable[[], Awaitable[None]]
Story = Callable[["Faults"], Awaitable[Mend]]
"""Comes back once the fault was told, with what mends it."""


async def run(report: Report) -> None:
    """The scenario; it removes what it made, also after a failure of an earlier run."""
    async with (
        environment(report, meta=1, workers=0) as w,
        etcd.fresh_namespaces(w, NAMESPACE, within=LONG),
        enough_rights(w),
    ):
        with report.step("a Cluster without nodes, and an Addon that is fine", "created_s"):
            await clusters.create(w, NAMESPACE, SHOP)
            await w.apply(addon(NAMESPACE, FINE, inline(config(FINE))))
            await w.until(ADDON, NAMESPACE, FINE, has("Ready"), LONG)
        async with (
            await w.business(NAMESPACE, SHOP) as inside,
            repository(w.lab) as charts,
            repository(w.lab) as absent,
        ):
            await befallen(Faults(w, inside, charts, absent))
        with report.step("the Cluster is deleted", "deleted_s"):
            await w.kube.delete(ADDON, FINE, NAMESPACE)
            await w.gone(ADDON, NAMESPACE, FINE, LONG)
            await w.kube.delete(clusters.KIND, SHOP, NAMESPACE)
            await w.gone(clusters.KIND, NAMESPACE, SHOP, LONG)


async def befallen(f: Faults) -> None:
    """All of it, and what is fine stays Ready all the time."""
    before = await f.ready_since()
    await side_by_side(f)
    with f.w.report.step("all that was broken is removed, but for one chart", "removed_s"):
        await removed(f, but=(FINE, CHART))
    await killed(f)
    with f.w.report.step("the Cluster and all other Addons were Ready all the time"):
        same(await f.ready_since(), before)
        await removed(f, but=(FINE,))


@dataclass(frozen=True)
class Faults:
    """Where faults are made: the lab, the business cluster, and repositories of charts."""

    w: Environment
    inside: Kube
    charts: ChartRepository
    absent: ChartRepository
    """Away until somebody starts it."""

    async def told(
        self, name: str, source: Manifest, reason: str, *words: str, **spec: Any
    ) -> None:
        """Makes an Addon and waits until it is not Ready for that reason, with these words."""
        await self.w.apply(addon(NAMESPACE, name, source, **spec))
        await self.says(name, reason, *words)

    async def says(self, name: str, reason: str, *words: str) -> Manifest:
        """Waits for a reason and the words in its sentence."""
        return await self.w.until(ADDON, NAMESPACE, name, says(reason, *words), SOON)

    async def change(self, name: str, **spec: Any) -> None:
        """Changes fields of an Addon's spec, as a user would with `kubectl patch`."""
        await self.w.kube.patch(ADDON, name, NAMESPACE, {"spec": spec})

    async def ready(self, name: str) -> None:
        """Waits until an Addon is, by itself if nothing was changed of it."""
        await self.w.until(ADDON, NAMESPACE, name, has("Ready"), SOON)

    async def there(self, name: str, kind: Kind = kinds.CONFIGMAP) -> Manifest | None:
        """An object of the business cluster, if it is there."""
        return await self.inside.get(kind, name, SPACE if kind.namespaced else None)

    async def ready_since(self) -> dict[str, str]:
        """Since when the Cluster and all that is not broken are; raises `AssertionError` if one is not."""
        found: dict[str, str] = {}
        for kind in (clusters.KIND, etcd.KIND, ADDON):
            for manifest in await self.w.kube.list(kind, NAMESPACE):
                name, said = manifest["metadata"]["name"], condition(manifest, "Ready")
                if kind is ADDON and name != FINE and not name.startswith(f"{SHOP}-"):
                    continue
                if said.get("status") != "True":
                    raise AssertionError(f"{kind.kind} {name} is not Ready: {said}")
                found[f"{kind.kind} {name}"] = said["lastTransitionTime"]
        return found


# --- side by side


async def side_by_side(f: Faults) -> None:
    """All faults at once: told, without harm to others; then each is mended."""
    offer(f.charts)
    f.absent.add("demo")
    await f.absent.stop()
    stories: Sequence[Story] = (
        *(partial(written, wrong=wrong) for wrong in mistakes(f.charts)),
        repository_away,
        never_established,
        owned,
        taken,
        half_applied,
    )
    with f.w.report.step("each fault is told, with reason and place", "told_s"):
        mends = await asyncio.gather(*(story(f) for story in stories))
    with f.w.report.step("what is changed of another Addon still comes back at once", "repaired_s"):
        await f.inside.delete(kinds.CONFIGMAP, FINE, SPACE)
        await until(f.inside, kinds.CONFIGMAP, FINE, SPACE, lambda _: True, within=SOON)
    await f.ready_since()
    with f.w.report.step("each is mended, and Ready", "mended_s"):
        await asyncio.gather(*(mend() for mend in mends))
    f.w.report.figures["faults"] = len(stories)


async def written(f: Faults, wrong: Wrong) -> Mend:
    """A mistake in a spec, mended by another spec."""
    values = {} if wrong.values is None else {"values": wrong.values}
    await f.told(wrong.name, wrong.source, wrong.reason, *wrong.words, **values)
    if await f.there(wrong.name) is not None:
        raise AssertionError(f"Addon {wrong.name} was told to be wrong and applied something")

    async def mend() -> None:
        await f.change(wrong.name, **wrong.right)
        await f.ready(wrong.name)
        if "builtin" not in wrong.source and await f.there(wrong.name) is None:
            raise AssertionError(f"Addon {wrong.name} is Ready, and its ConfigMap is not there")

    return mend


async def repository_away(f: Faults) -> Mend:
    """Nobody answers at its address; it is asked again by itself."""
    name, source = "away", from_chart(f.absent, "demo")
    await f.told(name, source, "SourceUnreachable", f"{f.absent.url}/index.yaml", "tried again")

    async def mend() -> None:
        await f.absent.start()
        await f.ready(name)

    return mend


async def never_established(f: Faults) -> Mend:
    """Its kind is that of another definition, which has to go."""
    name, group = "established", "established.example.com"
    await f.inside.apply(definition(group, "things"))
    source = inline(f"{config(name)}---\n{text(definition(group, 'others'))}")
    waits = "the other objects of this Addon wait for that"
    crd = f"CustomResourceDefinition others.{group}: "
    await f.told(name, source, "NotEstablished", crd, waits)
    if await f.there(name) is not None:
        raise AssertionError("what comes after a definition was applied before it is established")

    async def mend() -> None:
        await f.inside.delete(kinds.CUSTOMRESOURCEDEFINITION, f"things.{group}")
        await f.ready(name)

    return mend


async def owned(f: Faults) -> Mend:
    """An object is there that somebody else keeps; he hands it over."""
    name = "owned"
    theirs = {"name": name, "namespace": SPACE}
    await f.inside.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": theirs, "data": {"word": "theirs"}}
    )
    sentence = f'ConfigMap {SPACE}/{name} was there before, and "kok-e2e" sets .data.word of it'
    await f.told(name, inline(config(name, "ours")), "ObjectOwned", sentence)
    await holds(f, name, "theirs")

    async def mend() -> None:
        consent = {"metadata": {"labels": {LABEL: name}}}
        await f.inside.patch(kinds.CONFIGMAP, name, SPACE, consent)
        await f.ready(name)
        await holds(f, name, "ours")

    return mend


async def taken(f: Faults) -> Mend:
    """Two Addons have one object; the later one leaves it out."""
    first, second = "first", "second"
    await f.w.apply(addon(NAMESPACE, first, inline(config(first, "of the first"))))
    await f.ready(first)
    both = f"{config(first, 'of the second')}---\n{config(second)}"
    sentence = f"ConfigMap {SPACE}/{first} already belongs to Addon {first}"
    await f.told(second, inline(both), "ObjectTaken", sentence)

    async def mend() -> None:
        await holds(f, first, "of the first")
        await f.change(second, source=inline(config(second)))
        await f.ready(second)
        await f.w.kube.delete(ADDON, second, NAMESPACE)
        await f.w.gone(ADDON, NAMESPACE, second, SOON)
        await holds(f, first, "of the first")
        await f.ready(first)

    return mend


async def half_applied(f: Faults) -> Mend:
    """It is removed before its last wave, and half way somebody has to clean up."""
    name, group = "half", "half.example.com"
    thing = Kind(group, "v1", "Thing", "things")
    one: Manifest = {
        "apiVersion": thing.api_version,
        "kind": thing.kind,
        "metadata": {"name": name, "namespace": SPACE, "finalizers": [f"{group}/clean-up"]},
    }
    parts = [text(definition(group, "things")), text(one), text(deployment(name))]
    source = inline("---\n".join([*parts, config(name, wave=1)]))
    place = f"Deployment {name} 0/1"
    await f.told(name, source, "WaitingForWave", "wave 1 waits", place)
    if await f.there(name) is not None:
        raise AssertionError("a wave was applied before the one before was healthy")

    async def mend() -> None:
        await f.w.kube.delete(ADDON, name, NAMESPACE)
        await until(f.inside, thing, name, SPACE, _going, within=SOON)
        if await f.there(name, kinds.DEPLOYMENT) is None:
            raise AssertionError("who has to clean up went before what he cleans up after")
        await f.inside.patch(thing, name, SPACE, {"metadata": {"finalizers": None}})
        await f.w.gone(ADDON, NAMESPACE, name, SOON)
        for kind, left in (
            (kinds.DEPLOYMENT, name),
            (kinds.CUSTOMRESOURCEDEFINITION, f"things.{group}"),
        ):
            await until_gone(f.inside, kind, left, SPACE if kind.namespaced else "", within=SOON)

    return mend


# --- the operator is killed


async def killed(f: Faults) -> None:
    """Again and again, while a large Addon comes and while it goes, and charts cannot be had."""
    report = f.w.report
    async with f.charts.away():
        with report.step("the operator is killed while an Addon comes", "killed_coming_s"):
            kills = asyncio.create_task(killed_at(f, COMING))
            await f.w.apply(addon(NAMESPACE, MANY, inline(MANY_OBJECTS)))
            await kills
            await f.w.until(ADDON, NAMESPACE, MANY, whole, LONG)
            same(await many(f), OBJECTS)
        with report.step("what charts came to stays, although they cannot be had", "kept_s"):
            found = await f.says(CHART, "SourceUnreachable", "tried again")
            same(condition(found, "Applied").get("status"), "True")
            await holds(f, CHART, "hello")
    with report.step("the repository is back", "back_s"):
        await f.ready(CHART)
    with report.step("the operator is killed while the Addon goes", "killed_going_s"):
        kills = asyncio.create_task(killed_at(f, GOING))
        await f.w.kube.delete(ADDON, MANY, NAMESPACE)
        await kills
        await f.w.gone(ADDON, NAMESPACE, MANY, LONG)
        same(await many(f), 0)


async def killed_at(f: Faults, marks: Sequence[int]) -> None:
    """Kills the operator at these numbers of objects, which only grow, or only shrink."""
    names: set[str] = set()
    left, grows, listed = list(marks), marks[0] < marks[-1], False
    labels = {LABEL: MANY}
    async with aclosing(f.inside.watch(kinds.CONFIGMAP, SPACE, labels=labels)) as events:
        async for event in events:
            listed = listed or event.type == "SYNCED"
            if event.type == "ADDED":
                names.add(event.object["metadata"]["name"])
            elif event.type == "DELETED":
                names.discard(event.object["metadata"]["name"])
            count = len(names)
            if not listed or (count < left[0] if grows else count > left[0]):
                continue
            f.w.report.line(f"the operator is killed; {count} objects are there")
            await kill(f.w)
            left.pop(0)
            if not left:
                return


async def kill(w: Environment) -> None:
    """SIGKILL, and a new pod: the same one would be started again only after a while."""

    async def running() -> list[str]:
        pods = await w.kube.list(kinds.POD, OPERATORS)
        found = [p["metadata"]["name"] for p in pods if p["status"].get("phase") == "Running"]
        return [name for name in found if name.startswith("kok-cluster-")]

    for name in await eventually(running, SOON, every=0.2):
        await disruption.kill_process(w, OPERATORS, name, "kok")
        await disruption.kill_pods(w, OPERATORS, name)


async def many(f: Faults) -> int:
    """How many objects of the large Addon are there."""
    return len(await f.inside.list(kinds.CONFIGMAP, SPACE, labels={LABEL: MANY}))


def whole(found: Manifest) -> bool:
    """Whether the large Addon is applied."""
    return has("Ready")(found) and len(found["status"]["inventory"]) == OBJECTS


# --- the end


async def removed(f: Faults, but: Collection[str]) -> None:
    """Addons of this scenario go, and nothing of them stays."""
    gone = [
        name
        for one in await f.w.kube.list(ADDON, NAMESPACE)
        if (name := one["metadata"]["name"]) not in but and not name.startswith(f"{SHOP}-")
    ]
    await asyncio.gather(*(f.w.kube.delete(ADDON, name, NAMESPACE) for name in gone))
    await asyncio.gather(*(f.w.gone(ADDON, NAMESPACE, name, LONG) for name in gone))
    # Namespaces and definitions go by themselves.
    await until_gone(f.inside, kinds.NAMESPACE, "local-path-storage", "", within=SOON)

    labels, left = f"{LABEL} in ({', '.join(gone)})", [""]

    async def nothing() -> bool:
        left[:] = [
            f"{kind.kind} {one['metadata']['name']}"
            for kind in APPLIED
            for one in await f.inside.list(kind, labels=labels)
        ]
        return not left

    with contextlib.suppress(TimeoutError):
        await eventually(nothing, SOON, every=0.5)
    same(left, [])


# --- what is looked for


async def holds(f: Faults, name: str, word: str) -> None:
    """Raises `AssertionError` unless the ConfigMap of that name holds the word."""
    same(((await f.there(name)) or {}).get("data"), {"word": word})


def same(found: object, expected: object) -> None:
    """Raises `AssertionError` with both, if they differ."""
    if found != expected:
        raise AssertionError(f"{found!r}, expected {expected!r}")


def _going(found: Manifest) -> bool:
    return "deletionTimestamp" in found["metadata"]
