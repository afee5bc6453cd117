"""CEL rules for versions of Kubernetes and etcd: known, never down, no minor skipped."""

from __future__ import annotations

from typing import Any

from kok.api.fields import rule

KNOWN_MINORS = (34, 35, 36, 37)
"""Minors of Kubernetes 1.x that this release can run; a test holds it to `kok.versions`."""
KNOWN_ETCD_MINORS = (5, 6, 7)
"""The same of etcd 3.x."""

_MATCHES = "matches('^1[.][0-9]{1,3}[.][0-9]{1,3}$')"
_FORM = f"self.{_MATCHES}"
_NEW, _OLD, _RUNS = "self.spec.version", "oldSelf.spec.version", "self.status.version"
_HAS_RUN = f"has(self.status) && has({_RUNS}) && {_RUNS}.{_MATCHES}"

# Written out, since the cost of a number turned into text has no bound for the API server.
_NEXT = (
    "("
    + "".join(f"{_OLD}.startsWith('1.{m - 1}.') ? '1.{m}' : " for m in KNOWN_MINORS)
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


def _minor(version: str) -> str:
    return f"int({version}.split('.')[1])"


def cluster_upgrade() -> list[dict[str, Any]]:
    """Rules for a whole Cluster: the step from one Kubernetes version to the next.

    What runs may be ahead of the spec, where a FleetUpgrade raised it: the spec may follow.
    """
    return [
        rule(
            f"'spec.version: ' + {_OLD} + ' -> ' + {_NEW} + ' skips ' + {_NEXT} + '; upgrade to ' + "
            f"{_NEXT} + '.x first, or set spec.upgrade.chained to true to have each minor in between "
            "upgraded to by itself'",
            f"!{_NEW}.{_MATCHES} || !{_OLD}.{_MATCHES} || {_minor(_NEW)} <= {_minor(_OLD)} + 1 || "
            "self.spec.?upgrade.chained.orValue(false) || "
            f"({_HAS_RUN} && {_minor(_NEW)} <= {_minor(_RUNS)} + 1)",
            expression=True,
        ),
    ]


def cluster_downgrade() -> list[dict[str, Any]]:
    """Rules for a whole Cluster: never below the minor of which API servers have been complete.

    A version that cannot run, for instance since it has no image, can be taken back; so can any patch
    level, whose data all of its minor can read. Before anything ever ran there is nothing that could
    go down. A spec that has yet to follow what a FleetUpgrade raised is below it all the time.
    """
    lowest = "self.status.lowestVersion"
    known = f"has(self.status) && has({lowest}) && {lowest}.{_MATCHES}"
    ran = f"({known} ? {lowest} : {_RUNS})"
    return [
        rule(
            f"'spec.version: ' + {ran} + ' -> ' + {_NEW} + ' goes down, which Kubernetes does not "
            f"support; write ' + {ran} + ' or a later version, or restore a backup from before the "
            "upgrade by an EtcdRestore'",
            f"{_NEW} == {_OLD} || !{_NEW}.{_MATCHES} || !({known} || {_HAS_RUN}) || "
            f"{_minor(_NEW)} >= {_minor(ran)} || (has(self.status.raised) && "
            f"{_OLD}.{_MATCHES} && {_minor(_NEW)} >= {_minor(_OLD)})",
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
