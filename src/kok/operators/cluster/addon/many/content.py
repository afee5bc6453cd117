"""What an Addon for many Clusters is in each of them. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import TypeAdapter

from kok.api.cluster.addon import AddonSpec
from kok.api.cluster.addonrollout import AddonContent, AddonOverride, AddonRollout, shared_part
from kok.api.cluster.contract import ClusterContract
from kok.api.meta import Manifest
from kok.kube.decoding.nesting import ALLOWED, too_deep

KEPT = 300_000
"""How long the text of a content may be that is kept in the status beside the one in the spec."""

_OVERRIDES = TypeAdapter(list[AddonOverride])


class Content:
    """One revision of it."""

    def __init__(self, stored: Mapping[str, Any]) -> None:
        """`stored` is the part of a spec that the Clusters get, with `overrides`, as JSON."""
        self._stored = stored
        self._overrides = _OVERRIDES.validate_python(stored.get("overrides") or [])
        self._made: dict[tuple[int, ...], tuple[Manifest, str]] = {}
        self.revision = _hash(stored)

    @classmethod
    def of(cls, spec: AddonSpec) -> Self:
        """That of a spec."""
        overrides = [one.manifest() for one in spec.overrides]
        return cls({**shared_part(spec.manifest()), "overrides": overrides})

    @classmethod
    def kept(cls, content: AddonContent) -> Self:
        """One that was recorded. Raises `ValueError` where this version cannot read it."""
        found = cls(json.loads(content.spec))
        _spec(found._stored)
        found.revision = content.revision
        return found

    def to_keep(self) -> AddonContent | None:
        """What is recorded of it; None if it is too large for that."""
        text = json.dumps(self._stored)
        return AddonContent(revision=self.revision, spec=text) if len(text) <= KEPT else None

    def spec_for(self, cluster: ClusterContract) -> Manifest:
        """The spec of the Addon that a Cluster gets, but for `paused`, which is left to people."""
        return {"cluster": cluster.name, **self._for(cluster)[0]}

    def digest_for(self, cluster: ClusterContract) -> str:
        """The same for Clusters that get the same, as `digest_of` reckons it."""
        return self._for(cluster)[1]

    def _for(self, cluster: ClusterContract) -> tuple[Manifest, str]:
        chosen = tuple(n for n, one in enumerate(self._overrides) if _concerns(one, cluster))
        if chosen not in self._made:
            values = self._stored.get("values") or {}
            for number in chosen:
                values = merged(values, self._overrides[number].values)
            made = shared_part(_spec({**self._stored, "values": values}).manifest())
            self._made[chosen] = (made, _hash(made))
        return self._made[chosen]


def proven_by(rollout: AddonRollout | None, now: Content) -> Content | None:
    """What the last rollout that went through has brought; `now` is the content of this spec.

    None where nothing was recorded, or this version cannot read it.
    """
    kept = rollout.proven if rollout is not None else None
    if kept is None or kept.revision == now.revision:
        return now if kept is not None else None
    try:
        return Content.kept(kept)
    except ValueError:
        return None


def _spec(stored: Mapping[str, Any]) -> AddonSpec:
    return AddonSpec.model_validate({**stored, "overrides": []})


def digest_of(spec: AddonSpec) -> str:
    """A short hash of what an Addon is, wherever it goes."""
    return _hash(shared_part(spec.manifest()))


def plan_of(spec: AddonSpec, revision: str) -> str:
    """A short hash of what a plan is made of."""
    waves = [one.manifest() for one in spec.rollout.waves] if spec.rollout is not None else []
    return _hash([revision, waves])


def problem(spec: AddonSpec) -> str | None:
    """Why nothing can be made of the values, as a sentence."""
    if too_deep(spec.values):
        return f"spec.values is nested deeper than {ALLOWED} levels; make it flatter"
    for number, one in enumerate(spec.overrides):
        if too_deep(one.values):
            where = f"spec.overrides[{number}].values"
            return f"{where} is nested deeper than {ALLOWED} levels; make it flatter"
    return None


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Values over others: maps are merged, null takes a value out.

    >>> merged({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": None}, "d": [2]})
    {'a': {'c': 2}, 'd': [2]}
    """
    found = dict(base)
    for key, value in over.items():
        before = found.get(key)
        if value is None:
            found.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(before, Mapping):
            found[key] = merged(before, value)
        else:
            found[key] = value
    return found


def _concerns(one: AddonOverride, cluster: ClusterContract) -> bool:
    if one.clusters is None:
        return cluster.name in one.names
    return one.clusters.takes(dict(cluster.labels))


def _hash(made_of: Mapping[str, Any] | Iterable[Any]) -> str:
    text = json.dumps(made_of, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]
