"""Which versions of APIs that are to go are still used in a business cluster: asked for, and stored.

Each API server counts for itself, since its start, in `apiserver_requested_deprecated_apis`. What its
metrics are otherwise may be tens of megabytes, and is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from kok import versions
from kok.api.meta import Kind, Manifest
from kok.api.printable import plain
from kok.kube.client import Kube
from kok.kube.errors import NotFound
from kok.versions import Minor, RemovedAPI, UnknownVersion

METRIC: Final = "apiserver_requested_deprecated_apis"
STARTED: Final = "process_start_time_seconds"
"""What tells one API server from another behind one address."""
METRICS_MOST, METRICS_FOR = 64 * 2**20, 10.0
"""Bytes and seconds for the metrics of one API server."""
TRIES: Final = 4
"""How often each API server's turn may come to be asked, where one address stands for several."""
ASKED_MOST: Final = 12
"""Connections that are made for that at most."""
NAMED: Final = 3
"""Objects, and those who wrote them, that are remembered by name for each API."""
_LABEL = re.compile(r'(\w{1,40})="([^"\\]{0,253})"')
_WORD = re.compile(r"[A-Za-z0-9._:/-]{0,253}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Requested:
    """A deprecated API that somebody asks for."""

    group: str
    version: str
    resource: str
    subresource: str
    removed: Minor
    """The minor that no longer serves it."""

    @property
    def name(self) -> str:
        """Such as `networking.k8s.io/v1beta1/servicecidrs`: without blanks, so that it can be consented to."""
        where = f"{self.group}/{self.version}" if self.group else self.version
        sub = f"/{self.subresource}" if self.subresource else ""
        return f"{where}/{self.resource}{sub}"


@dataclass(frozen=True, slots=True)
class Stored:
    """Objects that somebody wrote by a version which is to go."""

    api_version: str
    resource: str
    objects: tuple[str, ...]
    """The first few, as `namespace/name`."""
    more: bool
    """Whether there are others."""
    managers: tuple[str, ...]
    """As whom they were written: who has to ask for another version."""

    @property
    def name(self) -> str:
        """Such as `networking.k8s.io/v1beta1/servicecidrs`: without blanks, so that it can be consented to."""
        return f"{self.api_version}/{self.resource}"


@dataclass(frozen=True, slots=True)
class Counted:
    """What API servers count of deprecated APIs, and how many of them were asked."""

    apis: frozenset[Requested] = frozenset()
    servers: int = 0


async def requested(ours: Kube, again: Callable[[], Kube] | None, servers: int) -> Counted:
    """What all API servers count, as far as all are met: several stand behind one address.

    `again` makes another client, whose connections may lead to another server. Raises `KubeError`.
    """
    met: dict[str, frozenset[Requested]] = {}
    found = await _counted(ours)
    met[found[0]] = found[1]
    for _ in range(min(TRIES * servers, ASKED_MOST)):
        if len(met) >= servers or again is None:
            break
        async with again() as other:
            one, counted = await _counted(other)
        met[one] = counted
    return Counted(frozenset().union(*met.values()), len(met))


async def _counted(kube: Kube) -> tuple[str, frozenset[Requested]]:
    lines = await kube.matching(
        "/metrics", f"{METRIC}{{", f"{STARTED} ", most=METRICS_MOST, timeout=METRICS_FOR
    )
    started = next((line for line in lines if line.startswith(STARTED)), "")
    return started, frozenset(parsed(lines))


def parsed(lines: Iterable[str]) -> Iterator[Requested]:
    """The deprecated APIs that lines of metrics tell of; of those that never go nothing is said."""
    for line in lines:
        told, _, value = line.partition("}")
        labels = dict(_LABEL.findall(told))
        removed = _minor(labels.get("removed_release", ""))
        if not line.startswith(METRIC) or removed is None or value.split()[:1] in ([], ["0"]):
            continue
        one = Requested(
            labels.get("group", ""),
            labels.get("version", ""),
            labels.get("resource", ""),
            labels.get("subresource", ""),
            removed,
        )
        words = (one.group, one.version, one.resource, one.subresource)
        if all(map(_WORD.fullmatch, words)) and one.version and one.resource:
            yield one


def _minor(text: str) -> Minor | None:
    try:
        return versions.parse(f"{text}.0").line
    except UnknownVersion:
        return None


async def stored(kube: Kube, removed: Iterable[RemovedAPI]) -> tuple[Stored, ...]:
    """Objects of which somebody still writes a part by one of those versions. Raises `KubeError`.

    Only their metadata is asked for.
    """
    found: list[Stored | None] = []
    for api in removed:
        others = await _others(kube, api)
        found += [await _stored(kube, api, resource, others) for resource in api.resources]
    return tuple(one for one in found if one is not None)


async def _others(kube: Kube, api: RemovedAPI) -> list[str]:
    """Other versions of a group that are served. To ask by the one that goes would be counted as its
    use; where there is no other one, what is counted of others has to do.
    """
    try:
        group = await kube.raw("GET", f"/apis/{api.group}")
    except NotFound:
        return []
    told = group.get("versions") if isinstance(group, dict) else None
    names = [one.get("version") for one in told or () if isinstance(one, dict)]
    words = [name for name in names if isinstance(name, str) and _WORD.fullmatch(name)]
    return [word for word in words if word != api.version][:NAMED]


async def _stored(
    kube: Kube, api: RemovedAPI, resource: str, others: Iterable[str]
) -> Stored | None:
    """By whichever version serves the resource: the objects are the same."""
    for version in others:
        kind = Kind(api.group, version, "", resource)
        try:
            listed = await kube.list(
                kind, bare=True, keep=partial(_writers, api.api_version), most=NAMED + 1
            )
        except NotFound:
            continue
        if not listed:
            return None
        managers = sorted({name for one in listed for name in one["managers"]})
        names = tuple(one["name"] for one in listed[:NAMED])
        return Stored(
            api.api_version, resource, names, len(listed) > NAMED, tuple(managers[:NAMED])
        )
    return None


def _writers(api_version: str, live: Manifest) -> Manifest | None:
    """For `keep`: the name of an object, and who wrote it by a version; None if nobody did."""
    meta: Mapping[str, Any] = live["metadata"]
    entries = meta.get("managedFields")
    found = [
        plain(str(entry.get("manager") or "somebody")[:63])
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and entry.get("apiVersion") == api_version
    ]
    if not found:
        return None
    name = "/".join(plain(str(meta[key])) for key in ("namespace", "name") if meta.get(key))
    return {"metadata": {"name": name}, "name": name, "managers": found[:NAMED]}
