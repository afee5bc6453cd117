"""CEL rules for versions of Kubernetes and etcd: known, never down, no minor skipped."""

from __future__ import annotations

from typing import Any

from kok.api.fields import rule

KNOWN_MINORS = (34, 35, 36, 37)
"""Minors of Kubernetes 1.x that this release can run; a test holds it to `kok.versions`."""
KNOWN_ETCD_MINORS = (5, 6, 7)
"""The same of etcd 3.x."""

_FORM = "self.matches('^1[.][0-9]{1,3}[.][0-9]{1,3}$')"
_OLD_FORM = "oldSelf.matches('^1[.][0-9]{1,3}[.][0-9]{1,3}$')"

# Written out, since the cost of a number turned into text has no bound for the API server.
_NEXT = (
    "("
    + "".join(f"oldSelf.startsWith('1.{m - 1}.') ? '1.{m}' : " for m in KNOWN_MINORS)
    + "'the minor after it')"
)


def kubernetes_version(path: str) -> list[dict[str, Any]]:
    """Rules for a field that holds a Kubernetes version, with sentences that name `path`."""
    known = ", ".join(f"'{minor}'" for minor in KNOWN_MINORS)
    span = f"1.{KNOWN_MINORS[0]} to 1.{KNOWN_MINORS[-1]}"
    return [
        rule(
            f"'{path}: ' + self + ' is not a Kubernetes version; write one such as "
            f"1.{KNOWN_MINORS[-1]}.1, without a leading v'",
            _FORM,
            expression=True,
        ),
        rule(
            f"'{path}: ' + self + ' is not supported; this release knows {span}'",
            f"!{_FORM} || self.split('.')[1] in [{known}]",
            expression=True,
        ),
    ]


def kubernetes_upgrade(path: str) -> list[dict[str, Any]]:
    """Rules for the step from one Kubernetes version to the next."""
    comparable = f"!{_FORM} || !{_OLD_FORM} || "
    old_minor, minor = "int(oldSelf.split('.')[1])", "int(self.split('.')[1])"
    return [
        rule(
            f"'{path}: ' + oldSelf + ' -> ' + self + ' skips ' + {_NEXT} + '; upgrade to ' + "
            f"{_NEXT} + '.x first'",
            f"{comparable}{minor} <= {old_minor} + 1",
            expression=True,
        ),
    ]


def cluster_downgrade() -> list[dict[str, Any]]:
    """Rules for a whole Cluster: never below what runs (`status.version`).

    A version that cannot run, for instance since it has no image, can be taken back, down to the
    one that still runs; before anything ever ran there is nothing that could go down.
    """
    new, runs = "self.spec.version", "self.status.version"
    form = "matches('^1[.][0-9]{1,3}[.][0-9]{1,3}$')"
    minors = [f"int({one}.split('.')[1])" for one in (runs, new)]
    patches = [f"int({one}.split('.')[2])" for one in (runs, new)]
    return [
        rule(
            f"'spec.version: ' + {runs} + ' -> ' + {new} + ' goes down, which Kubernetes does not "
            f"support; write ' + {runs} + ' or a later version'",
            f"{new} == oldSelf.spec.version || !has(self.status) || !has({runs}) || "
            f"!{new}.{form} || !{runs}.{form} || {minors[1]} > {minors[0]} || "
            f"({minors[1]} == {minors[0]} && {patches[1]} >= {patches[0]})",
            expression=True,
        )
    ]


_ETCD_FORM = "matches('^3[.][0-9]{1,3}[.][0-9]{1,3}$')"
_RUNNING = (
    "(has(self.status) && has(self.status.version) ? self.status.version : oldSelf.spec.version)"
)
"""The lowest version that runs: where an upgrade got stuck, its origin is no way down."""


def etcd_upgrade() -> list[dict[str, Any]]:
    """Rules for a whole EtcdCluster: from what runs (`status.version`) to `spec.version`."""
    new = "self.spec.version"
    comparable = f"!{new}.{_ETCD_FORM} || !{_RUNNING}.{_ETCD_FORM} || {new} == oldSelf.spec.version"
    minors = [f"int({one}.split('.')[1])" for one in (_RUNNING, new)]
    patches = [f"int({one}.split('.')[2])" for one in (_RUNNING, new)]
    following = (
        "("
        + "".join(
            f"{_RUNNING}.startsWith('3.{m - 1}.') ? '3.{m}' : " for m in KNOWN_ETCD_MINORS[1:]
        )
        + "'the minor after it')"
    )
    return [
        rule(
            f"'spec.version: ' + {_RUNNING} + ' -> ' + {new} + ' goes down, which etcd does not "
            f"support; write ' + {_RUNNING} + ' or a later version'",
            f"{comparable} || {minors[1]} > {minors[0]} || "
            f"({minors[1]} == {minors[0]} && {patches[1]} >= {patches[0]})",
            expression=True,
        ),
        rule(
            f"'spec.version: ' + {_RUNNING} + ' -> ' + {new} + ' skips ' + {following} + "
            f"'; upgrade etcd to ' + {following} + '.x first'",
            f"{comparable} || {minors[1]} <= {minors[0]} + 1",
            expression=True,
        ),
    ]
