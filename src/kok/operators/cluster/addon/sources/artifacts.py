"""An artifact's files as templates, and their defaults; rendered as all others. For work aside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from kok.operators.cluster import reasons
from kok.operators.cluster.addon.context import TemplateContext
from kok.operators.cluster.addon.render import Loader, Template, render
from kok.operators.cluster.addon.sources.archives import ArchiveJob, BadArchive, files
from kok.operators.cluster.addon.sources.schemas import schema_problem
from kok.runtime.controller.errors import Invalid

ARTIFACT_MOST: Final = 8 * 2**20
"""Bytes of a packed artifact."""
_PLAIN: Final = (".yaml", ".yml", ".json")
_TEMPLATE: Final = ".j2"
_VALUES, _SCHEMA = "values.yaml", "values.schema.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactJob(ArchiveJob):
    """All that a rendering depends on."""

    name: str
    """Of the artifact, for sentences."""
    context: TemplateContext


def render_artifact(job: ArtifactJob) -> dict[str, Any]:
    """`manifests`, or `invalid` with reason and message: fit for JSON."""
    try:
        templates, values = _unpacked(job)
        return {"manifests": render(templates, job.context, values, job.addon)}
    except Invalid as error:
        return {"invalid": (error.reason, error.message)}


def _unpacked(job: ArtifactJob) -> tuple[list[Template], Mapping[str, Any]]:
    texts: dict[str, str] = {}
    try:
        for path, content in files(job.archive):
            if path.endswith((*_PLAIN, _TEMPLATE)):
                texts[path] = content.decode()
    except (BadArchive, UnicodeDecodeError) as error:
        said = str(error) if isinstance(error, BadArchive) else "holds what is no text"
        raise Invalid(reasons.SOURCE_INVALID, f"{job.name} {said}") from None
    defaults, schema = texts.pop(_VALUES, ""), texts.pop(_SCHEMA, "")
    if not texts:
        raise Invalid(
            reasons.SOURCE_INVALID,
            f"{job.name} holds no manifests: no file ends in {', '.join((*_PLAIN, _TEMPLATE))}",
        )
    templates = [
        Template(f"{job.name}, {path}", texts[path], plain=not path.endswith(_TEMPLATE))
        for path in sorted(texts)
    ]
    return templates, _values(job, defaults, schema)


def _values(job: ArtifactJob, defaults: str, schema: str) -> Mapping[str, Any]:
    try:
        known = yaml.load(defaults, Loader=Loader) or {}  # noqa: S506 - a safe one
        if not isinstance(known, Mapping):
            raise ValueError("values.yaml is no map")
        values: Mapping[str, Any] = merged(known, job.values)
        problem = schema_problem(json.loads(schema), values) if schema else None
    except (ValueError, yaml.YAMLError, RecursionError, AttributeError) as error:
        raise Invalid(
            reasons.SOURCE_INVALID,
            f"{job.name}: its values or their schema cannot be used: {error}",
        ) from None
    if problem is not None:
        raise Invalid(reasons.VALUES_INVALID, f"{problem} ({_SCHEMA} of {job.name})")
    return values


def merged(below: Any, above: Any) -> Any:
    """One value over another: maps at every depth, anything else as a whole."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {
        **below,
        **{key: merged(below[key], v) if key in below else v for key, v in above.items()},
    }
