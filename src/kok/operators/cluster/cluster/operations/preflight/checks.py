"""The checks of the preflight: each says what speaks against a version. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Literal

from kok import versions
from kok.api.cluster.upgrade import FINDINGS_MOST, UpgradeFinding
from kok.api.names import ANNOTATION_UPGRADE_CONSENT, etcd_cluster
from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.operations.preflight.facts import Facts
from kok.operators.cluster.cluster.spec.flags import unknown_arguments
from kok.operators.cluster.cluster.spec.target import number

ENDS_SOON = timedelta(days=7)
"""Certificates that end within that time are named before an upgrade."""
Check = Callable[[Facts, str], Iterator[UpgradeFinding]]


def check(facts: Facts, version: str) -> list[UpgradeFinding]:
    """Everything that speaks against `version`, errors first; at most as much as a status holds."""
    if (unknown := list(_version(facts, version))) and unknown[0].severity == "Error":
        return consented(facts, unknown)
    found = [finding for one in CHECKS for finding in one(facts, version)]
    found.sort(key=lambda f: (f.severity != "Error", f.check, f.object))
    return consented(facts, found)[:FINDINGS_MOST]


def consented(facts: Facts, findings: Iterable[UpgradeFinding]) -> list[UpgradeFinding]:
    """The findings, with those marked that the Cluster's annotation names."""
    text = facts.cluster.metadata.annotations.get(ANNOTATION_UPGRADE_CONSENT, "")
    named = {word.strip() for word in text.split(",")}
    return [
        f.model_copy(update={"consented": bool({f.check, f"{f.check}/{f.object}"} & named)})
        for f in findings
    ]


def _version(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    del facts
    try:
        release = versions.kubernetes(version)
    except versions.UnknownVersion as error:
        yield _error("Version", version, f"spec.version: {error}")
        return
    if not release.listed:
        listed = ", ".join(str(v) for v in release.facts.patches)
        yield _warning(
            "Version",
            version,
            f"{version} is not among the patch levels that this release was tried with ({listed})",
        )


def _reach(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    """An API that does not answer may be what the upgrade is to mend."""
    if facts.unreachable is None:
        return
    text = (
        f"the API does not answer ({facts.unreachable}), so that deprecated APIs, webhooks and nodes "
        "were not looked at"
    )
    one, other = number(facts.running), number(version)
    same = one is not None and other is not None and one.line == other.line
    yield _warning("Reachable", "", text) if same else _error("Reachable", "", text)


def _etcd(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    name = f"EtcdCluster/{etcd_cluster(facts.cluster.name)}"
    asked = facts.cluster.spec.etcd.version
    if asked is not None and (problem := versions.check_etcd(version, asked)):
        yield _error("EtcdVersion", "spec.etcd.version", f"spec.etcd.version: {problem}")
    ready = facts.etcd.conditions.get(reasons.READY)
    if ready is None or not ready.holds:
        told = ready.message or ready.reason if ready is not None else "it does not say how it is"
        yield _error("EtcdHealth", name, f"{name} is not ready: {told}")


def _nodes(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    for kubelet, count in sorted(facts.kubelets.items()):
        if number(kubelet) is None:
            continue
        if problem := versions.check_skew(kubelet, version):
            nodes = "1 node" if count == 1 else f"{count} nodes"
            yield _error("NodeSkew", kubelet, f"{nodes}: {problem}")


def _arguments(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    for field, problem in unknown_arguments(facts.cluster.spec, version):
        yield _error("Arguments", field, f"{field}: {problem}")


def _certificates(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    del version
    for one in facts.certificates:
        if one.not_after <= facts.now:
            text = (
                f"the certificate in Secret {one.name} ended at {one.not_after:%Y-%m-%d %H:%M} UTC"
            )
            yield _error("Certificates", one.name, text)
        elif one.not_after - facts.now < ENDS_SOON:
            text = (
                f"the certificate in Secret {one.name} ends at {one.not_after:%Y-%m-%d %H:%M} UTC"
            )
            yield _warning("Certificates", one.name, text)


def _addons(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    del version
    for addon in facts.addons:
        if not addon.status.is_true(reasons.HEALTHY):
            ready = addon.status.condition(reasons.READY)
            told = ready.message if ready is not None else "it is not applied yet"
            text = f"Addon {addon.name} is not healthy, and is not waited for: {told}"
            yield _warning("AddonHealth", addon.name, text)


def _backup(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    del version
    if facts.cluster.spec.etcd.backup is None:
        text = (
            "spec.etcd.backup names no store, so that no backup is made before; after a minor there "
            "is no way back without one"
        )
        yield _warning("Backup", "spec.etcd.backup", text)


CHECKS: tuple[Check, ...] = (
    _version,
    _reach,
    _etcd,
    _nodes,
    _arguments,
    _certificates,
    _addons,
    _backup,
)


def _error(check_: str, object_: str, message: str) -> UpgradeFinding:
    return _finding("Error", check_, object_, message)


def _warning(check_: str, object_: str, message: str) -> UpgradeFinding:
    return _finding("Warning", check_, object_, message)


def _finding(
    severity: Literal["Error", "Warning"], check_: str, object_: str, message: str
) -> UpgradeFinding:
    return UpgradeFinding(
        check=check_, severity=severity, object=object_[:320], message=message[:1024]
    )
