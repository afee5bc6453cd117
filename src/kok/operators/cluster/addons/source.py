"""Where an Addon's templates come from."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from dataclasses import dataclass

from kok.api.addon import Addon
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster import reasons
from kok.operators.cluster.addons.facts import Facts
from kok.operators.cluster.addons.rendering import (
    Job,
    Template,
    builtin,
    merged_values,
    render,
    render_job,
)
from kok.runtime.aside import Limits, TooMuch, Unfinished, aside
from kok.runtime.errors import Invalid, Wait

LOOK_AGAIN = 60.0
"""Seconds after which a ConfigMap is read again; it carries no mark by which it could be watched."""
LIMITS = Limits()
KEPT = 128
"""Renderings that are remembered, and how many characters as JSON one of them may have."""
KEPT_SIZE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Bundle:
    """What an Addon comes to for one cluster."""

    manifests: list[Manifest]
    version: str | None
    """Of a built-in addon: that of its main image."""


class Bundler:
    """Makes bundles; remembers what templates of users came to, which cost a process each."""

    def __init__(self) -> None:
        self._one = asyncio.Semaphore(1)
        self._known: OrderedDict[str, list[Manifest] | Invalid] = OrderedDict()

    async def bundle(self, kube: Kube, addon: Addon, facts: Facts) -> Bundle:
        """Reads and renders; raises `Invalid`, or `Wait` for a ConfigMap that is missing."""
        spec = addon.spec
        if spec.source.builtin is not None:
            name = spec.source.builtin
            known = builtin(name)
            values = merged_values(name, known.defaults, spec.values)
            manifests = render(known.templates, facts, values, addon.name)
            return Bundle(manifests, facts.image(name).rpartition(":")[2])
        templates = await _templates(kube, addon)
        return Bundle(await self._foreign(Job(templates, facts, spec.values, addon.name)), None)

    async def _foreign(self, job: Job) -> list[Manifest]:
        key = job.digest()
        if key not in self._known:
            async with self._one:
                found = await _render_aside(job)
            if isinstance(found, Invalid) or len(json.dumps(found)) <= KEPT_SIZE:
                self._known[key] = found
                if len(self._known) > KEPT:
                    self._known.popitem(last=False)
        else:
            found = self._known[key]
            self._known.move_to_end(key)
        if isinstance(found, Invalid):
            raise Invalid(found.reason, found.message)
        return found


async def _render_aside(job: Job) -> list[Manifest] | Invalid:
    """In a process of its own: a template may loop for ever, or ask for all memory there is."""
    try:
        made = await aside(render_job, job, LIMITS)
    except TooMuch as error:
        problem = f"rendering {error}; make the templates simpler"
        return Invalid(reasons.TEMPLATE_INVALID, problem)
    except Unfinished as error:
        raise Wait(
            reasons.TEMPLATE_INVALID, f"rendering {error}; it is tried again", 30.0
        ) from None
    if "invalid" in made:
        return Invalid(*made["invalid"])
    manifests: list[Manifest] = made["manifests"]
    return manifests


async def _templates(kube: Kube, addon: Addon) -> list[Template]:
    if addon.spec.source.inline is not None:
        return [Template("spec.source.inline", addon.spec.source.inline)]
    name = addon.spec.source.config_map or ""
    where = f"ConfigMap {addon.namespace}/{name}"
    live = await kube.get(kinds.CONFIGMAP, name, addon.namespace)
    data = (live or {}).get("data") or {}
    if not data:
        state = "does not exist" if live is None else "is empty"
        raise Wait(
            reasons.SOURCE_MISSING, f"{where} {state}; put manifests into its data", LOOK_AGAIN
        )
    return [Template(f"{where}, key {key}", data[key]) for key in sorted(data)]
