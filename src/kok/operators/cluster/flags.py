"""What `extraArgs` may say: managed flags are refused, unknown ones named with their version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from kok import versions
from kok.api.cluster import ClusterSpec, ControlPlaneComponent, ExtraArg
from kok.api.managedflags import ADVICE, MANAGED_FLAGS
from kok.operators.cluster import reasons
from kok.operators.cluster.parts import API_SERVER, COMPONENTS, SPEC_FIELDS
from kok.runtime.errors import Invalid

ADMISSION_ON = "enable-admission-plugins"
ADMISSION_OFF = "disable-admission-plugins"
NODE_RESTRICTION = "NodeRestriction"


def component_spec(spec: ClusterSpec, component: str) -> ControlPlaneComponent:
    """The part of the spec about one component."""
    return {
        "apiServer": spec.api_server,
        "controllerManager": spec.controller_manager,
        "scheduler": spec.scheduler,
    }[SPEC_FIELDS[component]]


def check_arguments(spec: ClusterSpec) -> None:
    """Raises `Invalid` for the first argument that a component would not start with."""
    for component in COMPONENTS:
        field = SPEC_FIELDS[component]
        for arg in component_spec(spec, component).extra_args:
            if arg.name in MANAGED_FLAGS[field]:
                text = f"spec.{field}.extraArgs: {arg.name} {ADVICE}"
                raise Invalid(reasons.MANAGED_FLAG, text)
            for problem in _problems(component, arg, spec.version):
                raise Invalid(reasons.UNKNOWN_FLAG, f"spec.{field}.extraArgs: {problem}")


def _problems(component: str, arg: ExtraArg, version: str) -> Iterator[str]:
    problem = versions.check_flag(component, arg.name, version)
    if problem:
        yield problem
    if arg.name == "feature-gates":
        for gate in _items(arg.value):
            problem = versions.check_feature_gate(gate.partition("=")[0], version)
            if problem:
                yield problem
    if component == API_SERVER and arg.name in {ADMISSION_ON, ADMISSION_OFF}:
        yield from _plugin_problems(arg, version)


def _plugin_problems(arg: ExtraArg, version: str) -> Iterator[str]:
    known = versions.kubernetes(version).admission_plugins
    for plugin in _items(arg.value):
        if plugin not in known:
            yield f"{arg.name}: Kubernetes {version} has no admission plugin {plugin}; leave it out"
        elif plugin == NODE_RESTRICTION and arg.name == ADMISSION_OFF:
            yield (
                f"{arg.name}: {NODE_RESTRICTION} keeps nodes from reading each other's Secrets "
                "and stays on; leave it out"
            )


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
