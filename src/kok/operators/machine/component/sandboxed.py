"""Components of users are rendered in a process of their own, with limits.

Whoever may write Components may otherwise stop the operator, with a template that comes to no end
or takes all memory there is. What KOK brings along is rendered at once, unless its parameters are huge.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from kok.api.machine.component import Artifact, Component, ComponentSpec
from kok.api.machine.machine import Machine
from kok.kube.budget.limits import MIB, weight
from kok.kube.decoding.nesting import ALLOWED, too_deep
from kok.kube.errors import LONGEST, cut
from kok.operators.machine.component import catalog
from kok.operators.machine.component.render import (
    ComponentError,
    File,
    Rendered,
    facts,
    question,
    rendered,
    validate,
)
from kok.operators.machine.remote.survey import Question, Survey
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.sandbox.process import TooMuch, Unfinished
from kok.templating.sandboxed import is_quick, render_sandboxed

TOO_DEEP = f"deeper than {ALLOWED} levels; make them flatter"
HELD_MOST = 4 * MIB
"""Bytes of memory that the Components which one Machine names take together, and the same of what
they are rendered to. A namespace has a dozen passes at a time; built-in ones take 50 KiB."""


@dataclass(frozen=True, slots=True)
class Job:
    """All that a rendering depends on; without a survey it is the question alone."""

    component: Component
    machine: Machine
    params: Mapping[str, Any]
    survey: Survey | None

    def digest(self) -> str:
        """The same for the same job: of machine and host only what templates may know of them."""
        spec, meta, survey = self.machine.spec, self.machine.metadata, self.survey
        made_of = [
            self.component.spec.manifest(),
            self.params,
            [meta.namespace, meta.name, spec.cluster, spec.node, spec.address],
            [survey.arch, facts(self.machine, survey)] if survey is not None else None,
        ]
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Made:
    """What a job came to; `error` says why there is not more."""

    question: Question | None = None
    rendered: Rendered | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Templates:
    """Components as their templates make them; `made` holds those of users, by object name."""

    made: Mapping[str, Made] = field(default_factory=dict)

    def question(
        self, component: Component, machine: Machine, given: Mapping[str, Any]
    ) -> Question:
        """What to look for on a host. Raises `ComponentError`."""
        made = self.made.get(component.name)
        if made is None:
            return question(component, machine, given)
        if made.question is None:
            raise ComponentError(made.error)
        return made.question

    def rendered(
        self, component: Component, machine: Machine, given: Mapping[str, Any], survey: Survey
    ) -> Rendered:
        """What is to be on a host. Raises `ComponentError`."""
        made = self.made.get(component.name)
        if made is None:
            return rendered(component, machine, given, survey)
        if made.rendered is None:
            raise ComponentError(made.error)
        return made.rendered


class Renderer:
    """Makes Templates; what comes from users is rendered aside, once."""

    def __init__(self, sandboxes: SandboxPool) -> None:
        self._sandboxes = sandboxes

    async def templates(
        self, machine: Machine, components: Mapping[str, Component], survey: Survey | None
    ) -> Templates:
        """For all Components that the Machine names and that exist."""
        jobs = [
            Job(components[c.name], machine, c.params, survey)
            for c in machine.spec.components
            if c.name in components and not _at_once(components[c.name], c.params)
        ]
        made: dict[str, Made] = {}
        room = HELD_MOST
        for job in jobs:
            made[job.component.name], size = await self._made(job, room)
            room -= size
        return Templates(made)

    async def _made(self, job: Job, room: int) -> tuple[Made, int]:
        """What it comes to, and the bytes of memory that this takes; an error if beyond `room`."""
        name = f"Component {job.component.name}"
        if too_deep(job.params):
            return Made(error=f"{name}: its params are nested {TOO_DEEP}"), 0
        try:
            namespace = job.machine.namespace
            said = await render_sandboxed(self._sandboxes, namespace, render_job, job, job.digest())
        except TooMuch as error:
            return Made(error=f"{name}: rendering {error}; make its templates simpler"), 0
        except Unfinished as error:
            return Made(error=f"{name}: rendering {error}; it is tried again"), 0
        size = taken(said)
        if size > room:
            text = (
                f"{name}: what it is rendered to takes, with the Components before it, more than "
                f"{HELD_MOST // MIB} MiB of memory; make its templates simpler"
            )
            return Made(error=text), 0
        return _made(said), size


class Checker:
    """Says what is wrong with Components whatever the parameters may be."""

    def __init__(self, sandboxes: SandboxPool) -> None:
        self._sandboxes = sandboxes

    async def problem(self, component: Component) -> str:
        """A sentence, or nothing. Raises `Unfinished`."""
        spec = component.spec
        if ours(spec):
            return ""
        if too_deep(spec.parameters):
            return f"spec.parameters is nested {TOO_DEEP}"
        if taken(spec.manifest()) > HELD_MOST:
            most = f"{HELD_MOST // MIB} MiB of memory"
            return f"spec takes more than {most}; make it smaller, and what is large an artifact"
        made_of = json.dumps([component.name, spec.manifest()], sort_keys=True)
        digest = hashlib.sha256(made_of.encode()).hexdigest()
        namespace = component.metadata.namespace
        try:
            return str(
                await render_sandboxed(self._sandboxes, namespace, check_job, component, digest)
            )
        except TooMuch as error:
            return f"checking it {error}; make its templates and spec.parameters simpler"


def check_job(component: Component) -> str:
    """What `validate` says, or nothing."""
    try:
        validate(component)
    except ComponentError as error:
        return str(error)
    return ""


def render_job(job: Job) -> dict[str, Any]:
    """The fields of `Made` as far as there is something in them: fit for JSON."""
    out: dict[str, Any] = {}
    try:
        asked = question(job.component, job.machine, job.params)
        out["question"] = dataclasses.asdict(asked)
        if job.survey is not None:
            made = rendered(job.component, job.machine, job.params, job.survey)
            artifacts = [artifact.manifest() for artifact in made.artifacts]
            plain = dataclasses.replace(made, artifacts=())
            out["rendered"] = {**dataclasses.asdict(plain), "artifacts": artifacts}
    except ComponentError as error:
        out["error"] = cut(str(error), LONGEST)
    return out


def _made(said: Mapping[str, Any]) -> Made:
    asked, made = said.get("question"), said.get("rendered")
    return Made(
        question=_question(asked) if asked else None,
        rendered=_rendered(made) if made else None,
        error=said.get("error", ""),
    )


def _question(said: Mapping[str, Any]) -> Question:
    return Question(**{**said, "paths": tuple(said["paths"]), "services": tuple(said["services"])})


def _rendered(said: Mapping[str, Any]) -> Rendered:
    lists = {
        "files": tuple(File(**file) for file in said["files"]),
        "artifacts": tuple(Artifact.model_validate(a) for a in said["artifacts"]),
        **{key: tuple(said[key]) for key in ("depends_on", "services", "remains")},
    }
    return Rendered(**{**said, **lists})


def taken(value: object) -> int:
    """About how many bytes of memory something takes that is fit for JSON."""
    # Templates may make surrogates of their own.
    return weight(json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))


def _at_once(component: Component, params: Mapping[str, Any]) -> bool:
    """Whether there is nothing in it by which a user could make it take long."""
    return ours(component.spec) and is_quick(params)


def ours(spec: ComponentSpec) -> bool:
    """Whether the templates are those that come with this release, whoever made the object."""
    if spec.name not in catalog.builtin():
        return False
    known = _builtin(spec.name, spec.version)
    return (spec.scripts, spec.files, spec.parameters) == (
        known.scripts,
        known.files,
        known.parameters,
    )


@lru_cache(maxsize=64)
def _builtin(name: str, version: str) -> ComponentSpec:
    return Component.parse(catalog.manifest(name, version, {})).spec
