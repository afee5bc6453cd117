"""From templates to manifests. Pure, and deterministic but for what a user's template does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from kok.addons import builtin_addon
from kok.api.meta import Manifest
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.context import TemplateContext
from kok.operators.cluster.naming import LABEL_ADDON
from kok.runtime.controller.errors import Invalid
from kok.templating import environment as templating
from kok.templating.environment import TemplateError


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, in C where there is one, which is ten times as fast.

    A date is a text for it, as for Kubernetes: JSON knows no dates.
    """


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in Loader.yaml_implicit_resolvers.items()
}
MAX_OBJECTS = 1000
"""Objects of one Addon: each is asked for, and listed in the status."""
MAX_VALUES = 200_000
"""Values of all objects of one Addon: by aliases a short text becomes any number of them."""
MAX_OUTPUT = 4 * 2**20
"""Characters of rendered text; more than that is a mistake."""


@dataclass(frozen=True, slots=True)
class Template:
    """One text of templates. `name` is where it comes from, for sentences."""

    name: str
    text: str
    plain: bool = False
    """Nothing is put in: it is applied as it is."""


@dataclass(frozen=True, slots=True)
class RenderJob:
    """All that a rendering depends on: the arguments of `render`."""

    templates: Sequence[Template]
    context: TemplateContext
    values: Mapping[str, Any]
    addon: str

    def digest(self) -> str:
        """The same for the same job."""
        templates = [(one.name, one.text, one.plain) for one in self.templates]
        made_of = [templates, repr(self.context), self.values, self.addon]
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def render(
    templates: Sequence[Template], context: TemplateContext, values: Mapping[str, Any], addon: str
) -> list[Manifest]:
    """The manifests, each labelled with the Addon's name; raises `Invalid`.

    Templates see `cluster` (as `TemplateContext.variables` has it), `values`, `image("coredns")` and
    `mirrored("docker.io/library/busybox:1.36")`, and the filters of `kok.templating`.
    """
    found: list[Manifest] = []
    for template in templates:
        text = template.text if template.plain else _render(template, context, values)
        found.extend(manifests_of(template.name, text))
    return finished(found, addon)


def finished(found: Sequence[Manifest], addon: str) -> list[Manifest]:
    """Manifests as they are applied: each once, labelled, and not too many; raises `Invalid`."""
    if len(found) > MAX_OBJECTS:
        text = f"{len(found)} objects are more than {MAX_OBJECTS}; make several Addons of them"
        raise Invalid(reasons.TEMPLATE_INVALID, text)
    if (much := _too_much(found)) is not None:
        text = f"the objects hold more than {much} in all; make several Addons of them"
        raise Invalid(reasons.TEMPLATE_INVALID, text)
    return [_labelled(manifest, addon) for manifest in _unique(found)]


def _too_much(what: Any) -> str | None:
    """What the objects have too much of, if anything, with what is there by alias each time.

    An alias costs next to nothing as long as it is one; written out it is all that it stands for.
    """
    count, size, left = 0, 0, [what]
    while left:
        inner = left.pop()
        inside = inner.values() if isinstance(inner, dict) else inner
        count += len(inside)
        size += sum(len(str(key)) for key in inner) if isinstance(inner, dict) else 0
        for one in inside:
            if isinstance(one, dict | list):
                left.append(one)
            elif isinstance(one, str):
                size += len(one)
        if count > MAX_VALUES:
            return f"{MAX_VALUES} values"
        if size > MAX_OUTPUT:
            return f"{MAX_OUTPUT} characters"
    return None


def run_job(job: RenderJob) -> dict[str, Any]:
    """`manifests` as of `render`, or `invalid` with reason and message: fit for JSON."""
    try:
        return {"manifests": render(job.templates, job.context, job.values, job.addon)}
    except Invalid as error:
        return {"invalid": (error.reason, error.message)}


def _render(template: Template, context: TemplateContext, values: Mapping[str, Any]) -> str:
    variables = {
        "cluster": context.variables(),
        "values": values,
        "image": context.image,
        "mirrored": context.mirrored,
    }
    try:
        text = templating.render(template.text, variables)
    except TemplateError as error:
        line = f", line {error.line}" if error.line is not None else ""
        problem = f"{template.name}{line}: {error.message}"
        raise Invalid(reasons.TEMPLATE_INVALID, problem) from None
    if len(text) > MAX_OUTPUT:
        raise Invalid(
            reasons.TEMPLATE_INVALID, f"{template.name} renders to {len(text)} characters"
        )
    return text


def manifests_of(name: str, text: str) -> list[Manifest]:
    """The objects of a text of YAML documents; raises `Invalid`."""
    try:
        documents = [d for d in yaml.load_all(text, Loader=Loader) if d is not None]
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1} as rendered" if where is not None else ""
        what = getattr(error, "problem", None) or "not YAML"
        raise Invalid(reasons.TEMPLATE_INVALID, f"{name}{line}: {what}") from None
    out: list[Manifest] = []
    for document in documents:
        is_list = isinstance(document, dict) and document.get("kind") == "List"
        out.extend(document.get("items") or () if is_list else [document])
    for manifest in out:
        _check(name, manifest)
    return out


def _check(name: str, manifest: Any) -> None:
    meta = manifest.get("metadata") if isinstance(manifest, dict) else None
    complete = isinstance(meta, dict) and meta.get("name") and manifest.get("apiVersion")
    if not complete or not manifest.get("kind"):
        raise Invalid(
            reasons.TEMPLATE_INVALID,
            f"{name} renders to something that is no Kubernetes object; every document needs "
            "apiVersion, kind and metadata.name",
        )


def _unique(manifests: Sequence[Manifest]) -> list[Manifest]:
    seen: dict[tuple[str, ...], Manifest] = {}
    for manifest in manifests:
        meta = manifest["metadata"]
        key = (manifest["apiVersion"], manifest["kind"], meta.get("namespace", ""), meta["name"])
        if key in seen:
            raise Invalid(
                reasons.TEMPLATE_INVALID,
                f"{manifest['kind']} {meta['name']} is there twice; leave one out",
            )
        seen[key] = manifest
    return list(seen.values())


def _labelled(manifest: Manifest, addon: str) -> Manifest:
    meta = manifest["metadata"]
    labels = {**(meta.get("labels") or {}), LABEL_ADDON: addon}
    return {**manifest, "metadata": {**meta, "labels": labels}}


def builtin(name: str) -> tuple[Template, Mapping[str, Any]]:
    """Template of a built-in addon, and all values that it takes with their defaults.

    Raises `Invalid` for a name that is none.
    """
    try:
        found = builtin_addon(name)
    except KeyError:
        raise Invalid(reasons.SOURCE_MISSING, f"there is no built-in addon {name}") from None
    return Template(f"built-in {name}", found.template), found.values


def merged_values(
    addon: str, defaults: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """A built-in addon's values: the given ones over its defaults, maps merged.

    Raises `Invalid` for a top-level name that the addon does not take: a misspelt value would
    otherwise be ignored in silence.
    """
    for name in given:
        if name not in defaults:
            known = ", ".join(sorted(defaults))
            raise Invalid(
                reasons.VALUES_INVALID, f"values.{name}: {addon} does not take it; it takes {known}"
            )
    return {name: _merged(default, given.get(name)) for name, default in defaults.items()}


def _merged(default: Any, given: Any) -> Any:
    if given is None:
        return default
    if isinstance(default, Mapping) and isinstance(given, Mapping):
        return {
            key: _merged(default.get(key), given.get(key)) for key in sorted({*default, *given})
        }
    return given
