"""Addon objects that users have made of a chart or manifests of their own, as commands change them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kok.api.cluster.addon import Addon
from kok.api.meta import Manifest
from kok.cli.addons.preview import bundle_of
from kok.cli.addons.values import merged
from kok.cli.addons.world import ADDON, Here
from kok.cli.gitops import keeper
from kok.cli.query import Refused
from kok.kube.errors import Forbidden
from kok.kube.requests.conflicts import until_written


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be another of an addon that is there."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Over those that it has."""
    reset: bool = False
    """Whether they stand in the place of those that it has."""
    version: str | None = None
    """Of its chart or artifact."""


async def found(at: Here, name: str) -> Manifest:
    """A user's own Addon of the cluster. Raises `Refused`."""
    live = await at.addon(name)
    if live is None:
        raise Refused(
            f"{at.cluster} has no addon {name}; kok addons list {at.cluster.name} shows those that it "
            "has"
        )
    return live


async def check_free(at: Here, name: str) -> None:
    """Raises `Refused` where there is an Addon of that name already."""
    live = await at.kube.get(ADDON, name, at.cluster.namespace)
    if live is None:
        return
    where, whose = f"Addon {at.cluster.namespace}/{name}", live["spec"].get("cluster")
    if whose == at.cluster.name:
        raise Refused(
            f"{where} is there already; change it by kok addons upgrade {whose} {name}, or give this "
            "one another name by --name"
        )
    of = f"Cluster {whose}" if whose else "many Clusters"
    raise Refused(f"{where} is one for {of}; give this one another name by --name")


def check_ours(live: Manifest) -> None:
    """Raises `Refused` for an Addon that would come back, or go back."""
    where = f"Addon {live['metadata']['namespace']}/{live['metadata']['name']}"
    if (kept_by := keeper(live["metadata"])) is not None:
        raise Refused(f"{where} is kept by {kept_by} as it stands in Git; change it there")
    owners = live["metadata"].get("ownerReferences") or ()
    if (owner := next((one for one in owners if one.get("controller")), None)) is not None:
        raise Refused(f"{where} belongs to {owner['kind']} {owner['name']}; change that instead")


async def upgraded(at: Here, name: str, wanted: Wanted) -> int | None:
    """Writes what is wanted; the generation that the Addon has by that, None if it is so already.

    Values are tried before that, unless it is a chart or an artifact, which only the operator fetches,
    or what else belongs to it may not be read. Raises `KubeError` and `Refused`.
    """
    return await until_written(partial(_upgraded, at, name, wanted))


async def _upgraded(at: Here, name: str, wanted: Wanted) -> int | None:
    live = await found(at, name)
    check_ours(live)
    spec = live["spec"]
    before = spec.get("values") or {}
    made = merged({} if wanted.reset else before, wanted.values)
    source = spec["source"]
    if wanted.version is not None:
        source = of_version(source, wanted.version)
    if made == before and source == spec["source"]:
        return None
    if not source.keys() & {"helm", "oci"}:
        with suppress(Forbidden):
            await bundle_of(at, Addon.parse({**live, "spec": {**spec, "values": made}}))
    seen = live["metadata"]["resourceVersion"]
    patch = [
        # Not a test, which fails as invalid: the status changes at any time, and is no matter.
        {"op": "replace", "path": "/metadata/resourceVersion", "value": seen},
        {"op": "add", "path": "/spec/values", "value": made},
        {"op": "replace", "path": "/spec/source", "value": source},
    ]
    done = await at.kube.patch(ADDON, name, at.cluster.namespace, patch, type="json")
    return int(done["metadata"].get("generation") or 0)


def of_version(source: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The same source at another version: of a chart, or the tag or digest of an artifact.

    Raises `Refused` for a source without.
    """
    if (chart := source.get("helm")) is not None:
        return {**source, "helm": {**chart, "version": version}}
    if (artifact := source.get("oci")) is not None:
        place, slash, last = str(artifact["reference"]).partition("@")[0].rpartition("/")
        mark = "@" if version.startswith("sha256:") else ":"
        reference = f"{place}{slash}{last.partition(':')[0]}{mark}{version}"
        return {**source, "oci": {**artifact, "reference": reference}}
    raise Refused("its source has no versions: only a chart (helm) and an artifact (oci) have")
