"""Where an Addon's templates come from."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from kok.api.addon import Addon
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster import reasons
from kok.operators.cluster.addons.facts import Facts
from kok.operators.cluster.addons.rendering import (
    Template,
    builtin,
    merged_values,
    render,
)
from kok.runtime.errors import Invalid, Wait

RENDER_SECONDS = 10.0
LOOK_AGAIN = 60.0
"""Seconds after which a ConfigMap is read again; it carries no mark by which it could be watched."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What an Addon comes to for one cluster."""

    manifests: list[Manifest]
    version: str | None
    """Of a built-in addon: that of its main image."""


async def bundle(kube: Kube, addon: Addon, facts: Facts) -> Bundle:
    """Reads and renders; raises `Invalid`, or `Wait` for a ConfigMap that is missing."""
    spec = addon.spec
    if spec.source.builtin is not None:
        name = spec.source.builtin
        known = builtin(name)
        values = merged_values(name, known.defaults, spec.values)
        manifests = render(known.templates, facts, values, addon.name)
        return Bundle(manifests, facts.image(name).rpartition(":")[2])
    templates = await _templates(kube, addon)
    return Bundle(await _render_foreign(templates, facts, spec.values, addon.name), None)


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


async def _render_foreign(
    templates: list[Template], facts: Facts, values: dict[str, Any], addon: str
) -> list[Manifest]:
    """In a thread and with a deadline: a template may loop for longer than is good."""
    try:
        async with asyncio.timeout(RENDER_SECONDS):
            return await asyncio.to_thread(render, templates, facts, values, addon)
    except TimeoutError:
        raise Invalid(
            reasons.TEMPLATE_INVALID,
            f"rendering took longer than {RENDER_SECONDS:.0f} s; make the templates simpler",
        ) from None
