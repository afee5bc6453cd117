"""The checks of the preflight: each says what speaks against a version. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from kok import versions
from kok.api.cluster.addon import Addon
from kok.api.cluster.upgrade import UpgradeFinding
from kok.api.names import etcd_cluster
from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.operations.preflight.facts import Facts
from kok.operators.cluster.cluster.operations.preflight.findings import error, in_order, warning
from kok.operators.cluster.cluster.operations.preflight.inside import deprecated_apis, webhooks
from kok.operators.cluster.cluster.operations.upgrade_gates import ADDON_HEALTH, ADDON_VERSION
from kok.operators.cluster.cluster.spec.flags import unknown_arguments
from kok.operators.cluster.cluster.spec.target import is_above, number
from kok.versions.ranges import is_meant

ENDS_SOON = timedelta(days=7)
"""Certificates that end within that time are named before an upgrade."""
Check = Callable[[Facts, str], Iterator[UpgradeFinding]]


def check(facts: Facts, version: str) -> list[UpgradeFinding]:
    """Everything that speaks against `version`, errors first; at most as much as a status holds."""
    found = list(_version(facts, version))
    if not any(f.severity == "Error" for f in found):
        found += [finding for one in CHECKS for finding in one(facts, version)]
    return in_order(facts.cluster, found)


def _version(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    try:
        release = versions.kubernetes(version)
    except versions.UnknownVersion as unknown:
        yield error("Version", version, f"spec.version: {unknown}")
        return
    chained = facts.cluster.spec.upgrade.chained and is_above(version, facts.running)
    step = versions.check_upgrade(facts.running, version) if facts.running else None
    if step is not None and not chained:
        yield error("Version", version, f"spec.version: {step}")
        return
    if not release.listed:
        listed = ", ".join(str(v) for v in release.facts.patches)
        yield warning(
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
    yield warning("Reachable", "", text) if same else error("Reachable", "", text)


def _etcd(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    name = f"EtcdCluster/{etcd_cluster(facts.cluster.name)}"
    asked = facts.cluster.spec.etcd.version
    if asked is not None and (problem := versions.check_etcd(version, asked)):
        yield error("EtcdVersion", "spec.etcd.version", f"spec.etcd.version: {problem}")
    ready = facts.etcd.conditions.get(reasons.READY)
    if ready is None or not ready.holds:
        told = ready.message or ready.reason if ready is not None else "it does not say how it is"
        yield error("EtcdHealth", name, f"{name} is not ready: {told}")


def _nodes(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    for kubelet, count in sorted(facts.kubelets.items()):
        if number(kubelet) is None:
            continue
        if problem := versions.check_skew(kubelet, version):
            nodes = "1 node" if count == 1 else f"{count} nodes"
            yield error("NodeSkew", kubelet, f"{nodes}: {problem}")


def _arguments(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    for field, problem in unknown_arguments(facts.cluster.spec, version):
        yield error("Arguments", field, f"{field}: {problem}")


def _certificates(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    del version
    for one in facts.certificates:
        if one.not_after <= facts.now:
            text = (
                f"the certificate in Secret {one.name} ended at {one.not_after:%Y-%m-%d %H:%M} UTC"
            )
            yield error("Certificates", one.name, text)
        elif one.not_after - facts.now < ENDS_SOON:
            text = (
                f"the certificate in Secret {one.name} ends at {one.not_after:%Y-%m-%d %H:%M} UTC"
            )
            yield warning("Certificates", one.name, text)


def _addons(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    del version
    for addon in facts.addons:
        ready = addon.status.condition(reasons.READY)
        told = ready.message if ready is not None else "it is not applied yet"
        if not addon.status.is_true(reasons.HEALTHY):
            text = f"Addon {addon.name} is not healthy, and is not waited for: {told}"
            yield warning(ADDON_HEALTH, addon.name, text)
        elif addon.spec.paused:
            text = (
                f"Addon {addon.name} is paused, and is not waited for: it stays as it was rendered "
                "until its spec.paused is false again"
            )
            yield warning(ADDON_HEALTH, addon.name, text)
    for odd in facts.odd_addons:
        yield warning(ADDON_HEALTH, odd.name, f"{odd.message}; it is not waited for")
    if facts.more_addons:
        text = (
            f"there are more Addons with spec.cluster {facts.cluster.name} than are looked at; those "
            "that come last by their names are neither checked nor waited for"
        )
        yield warning(ADDON_HEALTH, "", text)


def _addon_versions(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    """Addons that are not for the version: from then on nothing of them would be changed any more.

    Of one that is not for what runs either the upgrade takes nothing away.
    """
    for addon in facts.addons:
        wanted = addon.spec.kubernetes
        try:
            if wanted is None or is_meant(wanted, version):
                continue
            applied = is_meant(wanted, facts.running)
        except ValueError:
            continue  # What is wrong with the range the Addon says itself.
        source = f"take a source that is made for {version}, and write its range there"
        if (maker := _maker(addon)) is not None:
            source = f"in Addon {addon.namespace}/{maker}, which makes it, {source}"
        text = (
            f"spec.kubernetes of Addon {addon.namespace}/{addon.name} is {wanted}, which does not hold "
            f"{version}: once that runs nothing of it is changed any more; {source}"
        )
        make = error if applied else warning
        yield make(ADDON_VERSION, addon.name, text)


def _maker(addon: Addon) -> str | None:
    """The Addon for many Clusters that an Addon belongs to."""
    owners = addon.metadata.owner_references
    return next((o.name for o in owners if o.controller and o.kind == addon.info.kind.kind), None)


def _backup(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    del version
    if facts.cluster.spec.etcd.backup is None:
        text = (
            "spec.etcd.backup names no store, so that no backup is made before; after a minor there "
            "is no way back without one"
        )
        yield warning("Backup", "spec.etcd.backup", text)


def _probes(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    """What pods of that version met which were made to try it."""
    del version
    if facts.probed is None:
        return
    for one in dict.fromkeys(facts.probed.troubles):
        make = error if one.error else warning
        yield make(one.check, one.component, one.message)
    if not facts.probed.tried:
        text = (
            "a dry run makes no pods: quotas, limits and policies were asked, but not whether meta "
            "nodes have room and images can be pulled; the upgrade tries that before it begins"
        )
        yield warning("Images", "", text)


CHECKS: tuple[Check, ...] = (
    _reach,
    _etcd,
    _nodes,
    _arguments,
    _certificates,
    _addons,
    _addon_versions,
    _backup,
    _probes,
    deprecated_apis,
    webhooks,
)
