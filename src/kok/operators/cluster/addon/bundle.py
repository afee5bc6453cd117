"""Where an Addon's templates come from."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kok.api.cluster.addon import Addon
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.budget.limits import MIB, weight
from kok.kube.client import Kube
from kok.kube.decoding.nesting import ALLOWED, too_deep
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.context import TemplateContext
from kok.operators.cluster.addon.render import (
    RenderJob,
    Template,
    builtin,
    merged_values,
    render,
    run_job,
)
from kok.operators.cluster.addon.values import check_values
from kok.runtime.controller.errors import Invalid, Wait
from kok.runtime.controller.reconciler import Key
from kok.runtime.fairness.slots import FairSlots, GaveWay
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.sandbox.process import TooMuch, Unfinished
from kok.templating.sandboxed import is_quick, render_sandboxed

LOOK_AGAIN = 60.0
"""Seconds after which a ConfigMap is read again; it carries no mark by which it could be watched."""


LARGE, HEAVY = MIB // 2, 6 * MIB
"""Bytes of a bundle as JSON, and as objects in memory, of which either is much. Ordinary objects
are both at the same time; what aliases make many of is heavy long before."""


@dataclass(frozen=True, slots=True)
class BundleSettings:
    """How much of the operator large bundles may take."""

    large_at_once: int = 4
    """Large bundles that are worked with at the same time, one a namespace."""
    span: float = 60.0
    """Seconds after which who works with a large one makes room for those who wait. A business
    cluster that is slow enough could keep it for the whole of a pass."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What an Addon comes to for one cluster."""

    manifests: list[Manifest]
    version: str | None
    """Of a built-in addon: that of its main image."""

    @property
    def large(self) -> bool:
        """Whether many of this kind at a time would be too much for the operator's memory."""
        texts = [json.dumps(one).encode() for one in self.manifests]
        return sum(map(len, texts)) > LARGE or sum(map(weight, texts)) > HEAVY


class BundleRenderer:
    """Makes bundles; what comes from users is rendered aside, once."""

    def __init__(self, sandboxes: SandboxPool, settings: BundleSettings | None = None) -> None:
        """`sandboxes` is where templates of users are rendered."""
        self._sandboxes = sandboxes
        self._settings = settings or BundleSettings()
        self._room = FairSlots(self._settings.large_at_once, share=1, span=self._settings.span)
        self._large: set[Key] = set()
        """Addons whose bundles were large when they were last seen."""

    @asynccontextmanager
    async def held(
        self, kube: Kube, addon: Addon, context: TemplateContext
    ) -> AsyncIterator[Bundle]:
        """The bundle of an Addon, as of `bundle`; to be left when it is no longer needed.

        A large one is let go and made again when there is room, so that what waits takes none.
        """
        key = (addon.namespace, addon.name)
        if key not in self._large:
            made = await self.bundle(kube, addon, context)
            if not made.large:
                yield made
                return
            self._large.add(key)
            del made
        try:
            async with self._room.one(addon.namespace):
                made = await self.bundle(kube, addon, context)
                if not made.large:
                    self._large.discard(key)
                yield made
        except GaveWay:
            text = (
                f"it is one of the large ones, of which "
                f"{self._settings.large_at_once} are worked with at a time, "
                f"and was not applied within {self._settings.span:.0f} s while others wait; its next turn comes "
                "by itself. Smaller Addons never wait so"
            )
            raise Wait(reasons.WAITING_FOR_ROOM, text, 5.0) from None

    def forget(self, key: Key) -> None:
        """The Addon goes."""
        self._large.discard(key)

    async def bundle(self, kube: Kube, addon: Addon, context: TemplateContext) -> Bundle:
        """Reads and renders; raises `Invalid`, or `Wait` for a ConfigMap that is missing."""
        spec = addon.spec
        if too_deep(spec.values):
            problem = f"spec.values is nested deeper than {ALLOWED} levels; make it flatter"
            raise Invalid(reasons.VALUES_INVALID, problem)
        if spec.source.builtin is not None:
            name = spec.source.builtin
            template, defaults = builtin(name)
            values = merged_values(name, defaults, spec.values)
            check_values(name, defaults, spec.values, context.version)
            job = RenderJob((template,), context, values, addon.name)
            version = context.image(name).rpartition(":")[2]
            if is_quick(spec.values):
                return Bundle(render(job.templates, context, values, addon.name), version)
            return Bundle(await self._aside(addon.namespace, job), version)
        templates = await _templates(kube, addon)
        job = RenderJob(templates, context, spec.values, addon.name)
        return Bundle(await self._aside(addon.namespace, job), None)

    async def _aside(self, namespace: str, job: RenderJob) -> list[Manifest]:
        """In a process of its own: a template may loop for ever, or ask for all memory there is."""
        try:
            made = await render_sandboxed(self._sandboxes, namespace, run_job, job, job.digest())
        except TooMuch as error:
            problem = f"rendering {error}; make the templates and their values simpler"
            raise Invalid(reasons.TEMPLATE_INVALID, problem) from None
        except Unfinished as error:
            raise Wait(
                reasons.TEMPLATE_INVALID, f"rendering {error}; it is tried again", 30.0
            ) from None
        if "invalid" in made:
            raise Invalid(*made["invalid"])
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
