"""`kok addons diff`: what would be changed in the business cluster, by its own answer.

Every object is sent there to be applied as the cluster operator applies it, by a dry run: the server
fills in defaults, asks its webhooks, and changes nothing. Whoever calls the command is the admin there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kok.addons import NAMES, TUNNEL_AGENT
from kok.api import names
from kok.api.cluster.addon import Addon, AppliedObject
from kok.api.meta import Manifest
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
from kok.operators.cluster.addon.applying.holders import as_marked, is_holder, was_made
from kok.operators.cluster.addon.applying.ignored import pointers_for, with_values_of
from kok.operators.cluster.addon.applying.inventory import (
    entry_identity,
    in_namespace,
    inventory_entry,
    kind_of_entry,
)
from kok.operators.cluster.businesscluster.apply import named
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
        there = set(await at.addons())
        for addon, live in await _asked(at, change):
            made = await bundle_of(at, addon, change.kubernetes)
            if made is None:
                raise Refused(f"{at.cluster} has no API yet")
            inside = _Inside(business, addon, made.namespace, there - {addon.name})
            await inside.compare(made.manifests, live, found)
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
        plans.check_known(change.name)
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


@dataclass(frozen=True, slots=True)
class _Inside:
    """The business cluster, as one Addon is applied to it."""

    kube: Kube
    addon: Addon
    namespace: str
    """Of what names none."""
    others: Collection[str]
    """The other Addons of the cluster, whose objects are theirs."""

    async def compare(
        self, wanted: Iterable[Manifest], live: Manifest | None, found: Found
    ) -> None:
        """Adds to `found` what would become of the objects."""
        kept: set[Identity] = set()
        for lines, refused, identity in await all_of(self._applied(one) for one in wanted):
            kept.add(identity)
            found.lines += lines
            found.refused += refused
        known = Addon.parse(live).status.inventory if live is not None else []
        gone = [one for one in known if entry_identity(one) not in kept]
        for lines in await all_of(map(self._removed, gone)):
            found.lines += lines

    async def _applied(self, intent: Manifest) -> tuple[list[str], list[str], Identity]:
        """The difference, why there is none, and which object it is."""
        try:
            entry = inventory_entry(intent, await self.kube.resolve(intent), 0, self.namespace)
        except NotFound:
            # Its definition comes along, and what it will make of it nobody knows before.
            meta = intent["metadata"]
            identity = (
                _group(intent),
                intent["kind"],
                str(meta.get("namespace") or ""),
                meta["name"],
            )
            return difference(None, intent), [], identity
        identity, intent = entry_identity(entry), in_namespace(intent, entry)
        live = await self._live(entry)
        owner = _addon_of(live)
        if owner in self.others:
            return [], [f"{named(intent)} already belongs to Addon {owner}"], identity
        lines, refused = await self._tried(intent, live, ours=owner is not None)
        return lines, refused, identity

    async def _tried(
        self, intent: Manifest, live: Manifest | None, *, ours: bool
    ) -> tuple[list[str], list[str]]:
        """The difference, or why there is none, by a dry run."""
        pointers = pointers_for(intent, self.addon.spec.ignore)
        if live is not None and pointers is None:
            return [], []
        want = stamped(intent)
        if live is not None and ours:
            want = as_marked(live, want, self.addon.name)
        if live is not None and pointers:
            want = with_values_of(live, want, pointers)
        try:
            made = await self.kube.apply(want, force=ours, dry_run=True)
        except NotFound:
            # Its namespace comes along.
            return difference(live, want), []
        except Unreachable:
            raise
        except KubeError as error:
            return [], [f"the business cluster refuses {named(intent)}: {error.message}"]
        return difference(live, made), []

    async def _live(self, entry: AppliedObject) -> Manifest | None:
        return await self.kube.get(kind_of_entry(entry), entry.name, entry.namespace or None)

    async def _removed(self, entry: AppliedObject) -> list[str]:
        try:
            live = await self._live(entry)
        except NotFound:
            other = await self.kube.other_version(kind_of_entry(entry))
            if other is None:
                return []
            live = await self._live(entry.model_copy(update={"version": other.version}))
        if live is None or _addon_of(live) != self.addon.name:
            return []
        stays = is_holder(entry) and not was_made(live, self.addon.name)
        return [] if stays else difference(live, None)


def _addon_of(live: Manifest | None) -> str | None:
    """The Addon whose an object is."""
    owner: str | None = ((live or {}).get("metadata", {}).get("labels") or {}).get(LABEL_ADDON)
    return owner


def _group(manifest: Manifest) -> str:
    return str(manifest["apiVersion"]).rpartition("/")[0]
