"""What may follow what: upgrades, skew between components, flags and gates of a version.

Each function returns None when all is well, otherwise a sentence for a condition or for the
answer to `kubectl apply`; the caller puts the field's path before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kok.versions import releases
from kok.versions.errors import UnknownVersion
from kok.versions.models import Changes, KubernetesMinor, RemovedAPI
from kok.versions.number import Minor, Version, parse


def check_upgrade(current: str, target: str) -> str | None:
    """May a cluster go from `current` to `target`: any later patch level, or one minor up.

    Going down is refused here; whether a failing upgrade may be backed out of is for the caller
    to know, who sees what still runs.
    """
    try:
        old, new = parse(current), releases.kubernetes(target).version
    except UnknownVersion as error:
        return str(error)
    return _step(old, new, "upgrade", "Kubernetes")


def next_step(current: str, target: str) -> str:
    """The version to go to now on the way from `current` to `target`: no minor is skipped.

    In between that is the newest patch level known of the minor after `current`. Raises
    `UnknownVersion`.
    """
    old, new = parse(current), parse(target)
    following = Minor(old.major, old.minor + 1)
    if new.line <= following:
        return target
    facts = releases.data().kubernetes.get(str(following))
    if facts is None or not facts.patches:
        raise UnknownVersion(f"{following} is not supported; {releases.supported()}")
    return str(max(facts.patches))


def check_etcd_upgrade(current: str, target: str) -> str | None:
    """May an etcd cluster whose lowest member is at `current` go to `target`."""
    try:
        old, release = parse(current, "3.6.10"), releases.etcd(target)
    except UnknownVersion as error:
        return str(error)
    if problem := _step(old, release.version, "upgrade etcd", "etcd"):
        return problem
    gate = release.facts.upgrade_gate
    if gate and old.line == gate.previous and old < gate.at_least:
        return (
            f"{old} -> {release.version} is not safe; upgrade every member to at least"
            f" {gate.at_least} first"
        )
    return None


def check_etcd(kubernetes: str, etcd: str) -> str | None:
    """May an API server of a Kubernetes version keep its data in an etcd of that version."""
    try:
        release, have = releases.kubernetes(kubernetes), parse(etcd, "3.6.10")
    except UnknownVersion as error:
        return str(error)
    least = release.facts.etcd.minimum
    if have >= least:
        return None
    return (
        f"etcd {have} is too old for Kubernetes {release.version}, which needs {least} or later;"
        f" write {release.facts.etcd.default}"
    )


def check_skew(kubelet: str, apiserver: str) -> str | None:
    """May a kubelet of one version serve under an API server of another."""
    try:
        node, control = parse(kubelet), parse(apiserver)
    except UnknownVersion as error:
        return str(error)
    oldest = control.minor - releases.data().kubelet_skew
    if node.line > control.line:
        return (
            f"kubelet {node} is newer than the control plane's {control}; write {control.line}.x or"
            " older, or upgrade the Cluster first"
        )
    if node.major != control.major or node.minor < oldest:
        return (
            f"kubelet {node} is too old for the control plane's {control}; write"
            f" {control.major}.{oldest} to {control.line}"
        )
    return None


def check_flag(component: str, flag: str, version: str) -> str | None:
    """Is a command line flag of a component (without dashes) known not to be in a version.

    None also for flags that nothing is known about: only what came or went within the known
    minors is recorded.
    """
    history = [(minor, facts.flags.get(component, Changes())) for minor, facts in _by_minor()]
    return _check_lifetime(f"{component} --{flag}", flag, version, history)


def check_feature_gate(gate: str, version: str, value: str | None = None) -> str | None:
    """As `check_flag`, for a feature gate of any Kubernetes component, and the value it is given."""
    history = [(minor, facts.feature_gates) for minor, facts in _by_minor()]
    problem = _check_lifetime(f"feature gate {gate}", gate, version, history)
    return problem or (_check_lock(gate, version, value) if value is not None else None)


def removed_apis(running: str, target: str) -> tuple[RemovedAPI, ...]:
    """What API servers stop to serve on the way from one version to a later one.

    Raises `UnknownVersion` for what is no version.
    """
    old, new = parse(running).line, parse(target).line
    return tuple(
        api for minor, facts in _by_minor() if old < minor <= new for api in facts.removed_apis
    )


_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""What Go takes for a boolean."""


def _check_lock(gate: str, version: str, value: str) -> str | None:
    """A gate that is locked may be written, but only as it is."""
    line = releases.kubernetes(version).version.line
    for minor, facts in _by_minor():
        for names, other, word in (
            (facts.locked_gates.enabled, _FALSE, "true"),
            (facts.locked_gates.disabled, _TRUE, "false"),
        ):
            if minor <= line and gate in names and value in other:
                return f"feature gate {gate} is locked to {word} since {minor}; leave it out"
    return None


def _by_minor() -> list[tuple[Minor, KubernetesMinor]]:
    known = releases.data().kubernetes
    return [(minor, known[str(minor)]) for minor in releases.kubernetes_minors()]


def _check_lifetime(
    what: str, name: str, version: str, history: Sequence[tuple[Minor, Changes]]
) -> str | None:
    """The last change up to the version decides; without one, the first change after it."""
    line = releases.kubernetes(version).version.line
    changes = [(m, name in c.added) for m, c in history if name in (*c.added, *c.removed)]
    past = [change for change in changes if change[0] <= line]
    if past:
        minor, came = past[-1]
        return None if came else f"{what} was removed in {minor}; leave it out"
    if changes and changes[0][1]:
        return f"{what} comes only with {changes[0][0]}; leave it out or upgrade first"
    return None


def _step(old: Version, new: Version, verb: str, product: str) -> str | None:
    if new < old:
        return (
            f"{old} -> {new} goes down, which {product} does not support; write {old} or a later"
            " version"
        )
    if new.major != old.major:
        return f"{old} -> {new} is another major version; stay with {old.line}.x"
    if new.minor <= old.minor + 1:
        return None
    following = Minor(old.major, old.minor + 1)
    return f"{old} -> {new} skips {following}; {verb} to {following}.x first"
