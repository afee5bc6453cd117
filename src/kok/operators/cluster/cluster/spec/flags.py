"""What `extraArgs` may say: managed flags are refused, unknown ones named with their version."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kok import versions
from kok.api.cluster.cluster import ClusterSpec, ControlPlaneComponent, ExtraArg
from kok.api.cluster.managedflags import ADVICE, MANAGED_FLAGS
from kok.operators.cluster import reasons
from kok.operators.cluster.naming import API_SERVER, COMPONENTS, SPEC_FIELDS
from kok.runtime.controller.errors import Invalid

ADMISSION_ON = "enable-admission-plugins"
ADMISSION_OFF = "disable-admission-plugins"
GATES = "feature-gates"
NODE_RESTRICTION = "NodeRestriction"
DELAY_FLAG = "shutdown-delay-duration"
WATCH_GRACE_FLAG = "shutdown-watch-termination-grace-period"
_GO_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{0,9})?(?:ns|us|µs|ms|s|m|h)){1,6}|0")
_GO_PART = re.compile(r"(\d{1,9}(?:\.\d{0,9})?)(ns|us|µs|ms|s|m|h)")
_GO_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST_END = 600.0
"""Seconds that one phase of an API server's orderly end may be given."""


def component_spec(spec: ClusterSpec, component: str) -> ControlPlaneComponent:
    """The part of the spec about one component."""
    return {
        "apiServer": spec.api_server,
        "controllerManager": spec.controller_manager,
        "scheduler": spec.scheduler,
    }[SPEC_FIELDS[component]]


def check_arguments(spec: ClusterSpec, version: str | None) -> None:
    """Raises `Invalid` for the first argument that a component would not start with.

    Without `version`, as long as components go from one to another, only for what none would.
    """
    for component in COMPONENTS:
        field = SPEC_FIELDS[component]
        for arg in component_spec(spec, component).extra_args:
            if arg.name in MANAGED_FLAGS[field]:
                text = f"spec.{field}.extraArgs: {arg.name} {ADVICE}"
                raise Invalid(reasons.MANAGED_FLAG, text)
            for problem in _problems(component, arg, version):
                raise Invalid(reasons.UNKNOWN_FLAG, f"spec.{field}.extraArgs: {problem}")


def unknown_arguments(spec: ClusterSpec, version: str) -> Iterator[tuple[str, str]]:
    """What components of a version would not start with: the field, and a sentence for each."""
    for component in COMPONENTS:
        field = SPEC_FIELDS[component]
        for arg in component_spec(spec, component).extra_args:
            for problem in _unknown(component, arg, version):
                yield f"spec.{field}.extraArgs", problem


def known(component: str, extra: Sequence[tuple[str, str]], version: str) -> list[tuple[str, str]]:
    """What a component at a version can be given of `extraArgs`, which fit `spec.version`.

    On the way there a component still runs, and may restart, at a version that does not know them
    yet; it gets them together with the version that does.
    """
    try:
        plugins = versions.kubernetes(version).admission_plugins
    except versions.UnknownVersion:
        return list(extra)  # Somebody wrote something else into the label of the version.
    out: list[tuple[str, str]] = []
    for name, value in extra:
        if versions.check_flag(component, name, version) is not None:
            continue
        items = kept = _items(value)
        if name == GATES:
            kept = [g for g in items if not _unknown_gate(g, version)]
        elif name in {ADMISSION_ON, ADMISSION_OFF}:
            kept = [plugin for plugin in items if plugin in plugins]
        if kept or not items:
            out.append((name, value if kept == items else ",".join(kept)))
    return out


def _unknown_gate(item: str, version: str) -> str | None:
    gate, _, value = item.partition("=")
    return versions.check_feature_gate(gate.strip(), version, value.strip())


def _problems(component: str, arg: ExtraArg, version: str | None) -> Iterator[str]:
    if version is not None:
        yield from _unknown(component, arg, version)
    if (
        component == API_SERVER
        and arg.name == ADMISSION_OFF
        and NODE_RESTRICTION in _items(arg.value)
    ):
        yield (
            f"{arg.name}: {NODE_RESTRICTION} keeps nodes from reading each other's Secrets "
            "and stays on; leave it out"
        )
    if component == API_SERVER and arg.name in {DELAY_FLAG, WATCH_GRACE_FLAG}:
        length = duration(arg.value)
        if length is None or length > LONGEST_END:
            yield (
                f"{arg.name}: {arg.value!r} is not a duration of at most {LONGEST_END / 60:.0f}m, "
                "for which pods of the API server would have to wait at their end; write one such "
                "as 20s"
            )


def _unknown(component: str, arg: ExtraArg, version: str) -> Iterator[str]:
    """What a version does not know of an argument."""
    if problem := versions.check_flag(component, arg.name, version):
        yield problem
    if arg.name == GATES:
        yield from filter(None, (_unknown_gate(gate, version) for gate in _items(arg.value)))
    if component == API_SERVER and arg.name in {ADMISSION_ON, ADMISSION_OFF}:
        known = versions.kubernetes(version).admission_plugins
        for plugin in _items(arg.value):
            if plugin not in known:
                yield (
                    f"{arg.name}: Kubernetes {version} has no admission plugin {plugin}; "
                    "leave it out"
                )


def duration(text: str) -> float | None:
    """The seconds of a duration as Go's flags take it, such as 1m30s or 1.5s; None if it is none.

    >>> duration("1m1.5s")
    61.5
    """
    if not _GO_DURATION.fullmatch(text):
        return None
    return sum(float(number) * _GO_SECONDS[unit] for number, unit in _GO_PART.findall(text))


def last_duration(extra: Sequence[tuple[str, str]], name: str, default: float) -> float:
    """The seconds of the last flag of a name, which is the one that counts; `default` without."""
    found = [duration(value) for flag, value in extra if flag == name]
    return default if not found or found[-1] is None else found[-1]


def command_line(
    program: str, ours: Mapping[str, str], extra: Sequence[tuple[str, str]]
) -> list[str]:
    """The program with its flags, sorted.

    A flag of the user's takes the place of ours of the same name, but admission plugins are
    joined: the user's come on top of those that must be on. The user's keep their order among
    flags of one name, since some flags may be repeated.
    """
    flags = dict(ours)
    if ADMISSION_ON in ours:
        wanted = [value for name, value in extra if name == ADMISSION_ON]
        flags[ADMISSION_ON] = ",".join(_unique([*_items(ours[ADMISSION_ON]), *_items_of(wanted)]))
        extra = [(name, value) for name, value in extra if name != ADMISSION_ON]
    taken = {name for name, _ in extra}
    pairs = [(name, value) for name, value in flags.items() if name not in taken]
    ordered = sorted([*pairs, *extra], key=lambda pair: pair[0])
    return [program, *(f"--{name}={value}" for name, value in ordered)]


def _items(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


def _items_of(values: Iterable[str]) -> list[str]:
    return [item for value in values for item in _items(value)]


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
