"""A Component with the parameters of one Machine: what exactly is to be on its host. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kok.api import names
from kok.api.fields import seconds
from kok.api.machine.component import Artifact, Change, Component
from kok.api.machine.machine import Machine
from kok.operators.machine.component import catalog, functions
from kok.operators.machine.component import params as params_
from kok.operators.machine.component.params import ParamsError
from kok.operators.machine.component.template import RenderError, check, render
from kok.operators.machine.remote import host_paths
from kok.operators.machine.remote.survey import Found, Question, Survey

_PHASES = ("install", "upgrade", "uninstall", "health", "restart")


class ComponentError(Exception):
    """A Component that cannot be used on this machine; a sentence."""


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is to be."""

    path: str
    mode: str
    content: str = field(repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of its content."""
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is to be on the host, and by which scripts it gets there."""

    name: str
    version: str
    probe: str = field(repr=False)
    scripts: Mapping[str, str] = field(repr=False)
    files: tuple[File, ...]
    artifacts: tuple[Artifact, ...]
    depends_on: tuple[str, ...]
    timeout: float
    """Seconds for one job."""
    services: tuple[str, ...] = ()
    """systemd services of it."""
    remains: tuple[str, ...] = ()
    """A place in each, and the names of what it makes there, with blanks between them."""
    change: Change = "restart"
    """What a node goes through when its parameters or files change."""
    change_version: Change = "restart"
    """The same of its version."""

    @property
    def config(self) -> str:
        """Hash of all that parameters have a say in; another one means another configuration."""
        made_of = [self.version, self.scripts["install"], self.scripts["uninstall"]]
        made_of += [f"{f.path}\0{f.mode}\0{f.digest}" for f in self.files]
        return hashlib.sha256("\0\0".join(made_of).encode()).hexdigest()[:16]

    def needs(self, found: Found) -> Change:
        """What a node that serves goes through when the host gets this in place of what was found."""
        return _needed(found, self.version, self.change, self.change_version)

    def right(self, found: Found) -> bool:
        """Whether the host has it exactly so."""
        return (
            found.version == self.version
            and found.recorded == self.config
            and all(found.files.get(f.path) == (f.mode, f.digest) for f in self.files)
            and not found.wrong
        )


def question(component: Component, machine: Machine, given: Mapping[str, Any]) -> Question:
    """What to look for before anything is known of the host. Raises `ComponentError`.

    Therefore probes and paths may depend on parameters and machine, but not on facts.
    """
    context = _context(component, machine, given)
    try:
        where = _where(component, "scripts.probe")
        probe = functions.complete(render(where, component.spec.scripts.probe, context))
        paths = tuple(
            _path(_where(component, "files.path"), file.path, {**context, "item": item})
            for file in component.spec.files
            for item in _items(file.for_each, context["params"])
        )
    except RenderError as error:
        raise ComponentError(str(error)) from None
    units = _services(component) if component.spec.name != host_paths.KUBELET else ()
    return Question(component.spec.name, probe, paths, units)


def rendered(
    component: Component, machine: Machine, given: Mapping[str, Any], survey: Survey
) -> Rendered:
    """The Component for one host. Raises `ComponentError`."""
    spec = component.spec
    if spec.platforms and not any(p.arch == survey.arch for p in spec.platforms):
        known = ", ".join(sorted(f"{p.os}/{p.arch}" for p in spec.platforms))
        raise ComponentError(
            f"Component {component.name} is for {known}, the host is linux/{survey.arch}; "
            "name a Component that is for the host"
        )
    asked = question(component, machine, given)
    context = {**_context(component, machine, given), "facts": facts(machine, survey)}
    try:
        scripts = {
            phase: functions.complete(render(_where(component, f"scripts.{phase}"), text, context))
            for phase in _PHASES
            if (text := getattr(spec.scripts, phase)) or phase in {"install", "uninstall"}
        }
        files = tuple(
            File(
                render(_where(component, "files.path"), file.path, {**context, "item": item}),
                file.mode,
                render(_where(component, file.path), file.content, {**context, "item": item}),
            )
            for file in spec.files
            for item in _items(file.for_each, context["params"])
        )
    except RenderError as error:
        raise ComponentError(str(error)) from None
    ours, (change, change_version) = catalog.definition(spec.name), changes(component)
    return Rendered(
        name=spec.name,
        version=spec.version,
        probe=asked.probe,
        scripts=scripts,
        files=files,
        artifacts=tuple(a for a in spec.artifacts if a.arch in (None, survey.arch)),
        depends_on=tuple(dict.fromkeys([*spec.depends_on, *ours.get("dependsOn", ())])),
        timeout=seconds(spec.timeout),
        services=_services(component),
        remains=tuple(" ".join([one.path, *one.names]) for one in spec.remains),
        change=change,
        change_version=change_version,
    )


def changes(component: Component) -> tuple[Change, Change]:
    """What a node that serves goes through for other parameters or files, and for another version."""
    # Objects that an earlier release made say less, and are never changed.
    spec, known = component.spec, catalog.definition(component.spec.name)
    change = spec.change or known.get("change", "restart")
    return change, spec.change_version or known.get("changeVersion", change)


def needs(component: Component, found: Found) -> Change:
    """The same as of what is rendered, which takes the host."""
    return _needed(found, component.spec.version, *changes(component))


def _needed(found: Found, version: str, change: Change, change_version: Change) -> Change:
    if not found.begun and not found.version:
        # What is not there yet nothing can depend on.
        return "nothing"
    return change if found.version == version else change_version


def _services(component: Component) -> tuple[str, ...]:
    """What has to run; a built-in Component that an earlier release made does not say so itself."""
    spec, labels = component.spec, component.metadata.labels
    ours = labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY
    return tuple(spec.services or (catalog.services(spec.name) if ours else ()))


def facts(machine: Machine, survey: Survey) -> dict[str, Any]:
    """What templates may know of a host: only what stays as it is."""
    listed = (machine.spec.address, *machine.spec.addresses)
    own = [address for address in (*listed, *survey.addresses) if address in survey.addresses]
    return {
        "arch": survey.arch,
        "cgroup": survey.facts.get("cgroup", ""),
        "lowersOOMScores": survey.lowers_oom_scores,
        "resolver": survey.facts.get("resolver", "/etc/resolv.conf"),
        # The address by which the operator reaches it, if it is the host's own and not a NAT's;
        # then one that its author listed, which alone gets a certificate.
        "nodeIP": next(iter(own), ""),
    }


def validate(component: Component) -> None:
    """Raises `ComponentError` for what is wrong whatever the parameters may be."""
    spec = component.spec
    try:
        params_.check_schema(spec.parameters)
        for phase in ("probe", *_PHASES):
            check(f"spec.scripts.{phase}", getattr(spec.scripts, phase))
        for number, file in enumerate(spec.files):
            check(f"spec.files[{number}].path", file.path)
            check(f"spec.files[{number}].content", file.content)
    except (ParamsError, RenderError) as error:
        raise ComponentError(str(error)) from None


def _context(component: Component, machine: Machine, given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        params = params_.complete(component.spec.parameters, given)
    except ParamsError as error:
        raise ComponentError(f"Component {component.name}: {error}") from None
    return {
        "params": params,
        "version": component.spec.version,
        "machine": {
            "name": machine.name,
            "namespace": machine.namespace,
            "cluster": machine.spec.cluster,
            "node": machine.spec.node,
            "address": machine.spec.address,
        },
    }


def _items(for_each: str, params: Mapping[str, Any]) -> list[Any]:
    """Once, or once for each entry of a parameter: of a map with `key` and `value`."""
    if not for_each:
        return [None]
    many = params.get(for_each) or []
    if isinstance(many, Mapping):
        return [{"key": key, "value": many[key]} for key in sorted(many)]
    if isinstance(many, list):
        return sorted(many, key=lambda item: json.dumps(item, sort_keys=True))
    raise RenderError(f"forEach: parameter {for_each} is neither a list nor a map")


def _path(where: str, text: str, context: Mapping[str, Any]) -> str:
    """A rendered path; hosts keep lists of them, a line for each."""
    path = render(where, text, context)
    if not path.startswith("/") or not path.isprintable() or ".." in path.split("/"):
        raise RenderError(f"{where}: {path!r} is no absolute path")
    return path


def _where(component: Component, part: str) -> str:
    return f"Component {component.name}: {part}"
