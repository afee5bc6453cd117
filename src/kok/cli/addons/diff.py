"""`kok addons diff`: what would be changed in the business cluster, by its own answer.

Every object is sent there to be applied as the cluster operator applies it, by a dry run: the server
fills in defaults, asks its webhooks, and changes nothing. Whoever calls the command is the admin there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kok.addons import NAMES, TUNNEL_AGENT
from kok.api import names
from kok.api.cluster.addon import Addon, AppliedObject
from kok.api.meta import Kind, Manifest
from kok.cli.addons import plan as plans
from kok.cli.addons.difference import difference
from kok.cli.addons.preview import bundle_of, intended
from kok.cli.addons.values import merged
from kok.cli.addons.world import Here, here
from kok.cli.options import KubectlOptions
from kok.cli.query import Refused, admin_kubeconfig
from kok.kube.apply.serverside import stamped
from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.kube.concurrency import all_of
from kok.kube.errors import KubeError, NotFound, Unreachable
from kok.kube.http.access import from_kubeconfig
from kok.operators.cluster.naming import FIELD_MANAGER, LABEL_ADDON

Identity = tuple[str, str, str, str]
"""Group, kind, namespace and name."""
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked about: the addon with other values, or for another version of Kubernetes."""

    name: str | None = None
    """None: all that the cluster has, as they are written."""
    values: Mapping[str, Any] = field(default_factory=dict)
    reset: bool = False
    """Whether the values stand for themselves, instead of over those that are there."""
    kubernetes: str | None = None


@dataclass(slots=True)
class Found:
    """What would be changed."""

    lines: list[str] = field(default_factory=list)
    """As `kubectl diff` prints it."""
    refused: list[str] = field(default_factory=list)
    """What the business cluster would not take, a sentence each."""


async def diff(
    cluster: str, change: Change, namespace: str | None, options: KubectlOptions
) -> Found:
    """What would be changed. Raises `KubeError`, `Refused` and `Unreadable`."""
    access = from_kubeconfig(await admin_kubeconfig(cluster, namespace, options))
    found = Found()
    async with (
        here(cluster, namespace, options) as at,
        Kube(access, field_manager=FIELD_MANAGER, limits=TENANT, connections=_AT_ONCE) as business,
    ):
        for addon, live in await _asked(at, change):
            made = await bundle_of(at, addon, change.kubernetes)
            if made is None:
                raise Refused(f"{at.cluster} has no API yet")
            await _compare(business, addon, live, made.manifests, found)
    return found


async def _asked(at: Here, change: Change) -> list[tuple[Addon, Manifest | None]]:
    """The Addons as they are to be, each with the one that is there."""
    wanted = at.cluster.spec.wanted_addons()
    if change.name is None:
        return await _all(at)
    name = change.name.removeprefix(names.cluster_addon(at.cluster.name, ""))
    if name in NAMES:
        live = await at.addon(names.cluster_addon(at.cluster.name, name))
        before: Mapping[str, Any] = wanted[name].values if name in wanted else {}
        values = merged({} if change.reset else before, change.values)
        return [(intended(at.cluster, name, values, live), live)]
    own = await at.addon(change.name)
    if own is None:
        plans.check_known(change.name, plans.builtins())
        return []
    before = own["spec"].get("values") or {}
    values = merged({} if change.reset else before, change.values)
    return [(Addon.parse({**own, "spec": {**own["spec"], "values": values}}), own)]


async def _all(at: Here) -> list[tuple[Addon, Manifest | None]]:
    """All that the cluster has or is to have, as they are written."""
    there = {name: await at.addon(name) for name in sorted(await at.addons())}
    found: list[tuple[Addon, Manifest | None]] = []
    for name, entry in at.cluster.spec.wanted_addons().items():
        live = there.pop(names.cluster_addon(at.cluster.name, name), None)
        if name == TUNNEL_AGENT and live is None:
            continue  # Only the operator knows where the servers are, and not yet.
        found.append((intended(at.cluster, name, entry.values, live), live))
    return [*found, *((Addon.parse(own), own) for own in there.values() if own is not None)]


async def _compare(
    business: Kube, addon: Addon, live: Manifest | None, wanted: list[Manifest], found: Found
) -> None:
    """Adds what would become of the objects of one Addon."""
    kept: set[Identity] = set()
    for lines, refused, identity in await all_of(_applied(business, one) for one in wanted):
        kept.add(identity)
        found.lines += lines
        found.refused += refused
    applied = Addon.parse(live).status.inventory if live is not None else []
    gone = [one for one in applied if (one.group, one.kind, one.namespace, one.name) not in kept]
    for lines in await all_of(_removed(business, one, addon.name) for one in gone):
        found.lines += lines


async def _applied(business: Kube, intent: Manifest) -> tuple[list[str], list[str], Identity]:
    meta = intent["metadata"]
    identity: Identity = (_group(intent), intent["kind"], meta.get("namespace") or "", meta["name"])
    try:
        kind = await business.resolve(intent)
    except NotFound:
        # Its definition comes along, and what it will make of it nobody knows before.
        return difference(None, intent), [], identity
    space = str(meta.get("namespace") or "default") if kind.namespaced else ""
    identity = (kind.group, kind.kind, space, str(meta["name"]))
    live = await business.get(kind, meta["name"], space or None)
    try:
        merged_ = await business.apply(stamped(intent), dry_run=True)
    except NotFound:
        # So does its namespace.
        return difference(live, intent), [], identity
    except Unreachable:
        raise
    except KubeError as error:
        where = f"{kind.kind} {space + '/' if space else ''}{meta['name']}"
        return [], [f"the business cluster refuses {where}: {error.message}"], identity
    return difference(live, merged_), [], identity


async def _removed(business: Kube, one: AppliedObject, addon: str) -> list[str]:
    kind = Kind(one.group, one.version, one.kind, one.plural, bool(one.namespace))
    try:
        live = await business.get(kind, one.name, one.namespace or None)
    except NotFound:
        return []
    if live is None or (live["metadata"].get("labels") or {}).get(LABEL_ADDON) != addon:
        return []
    return difference(live, None)


def _group(manifest: Manifest) -> str:
    return str(manifest["apiVersion"]).rpartition("/")[0]
