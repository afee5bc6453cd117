"""In which order an addon's objects are applied, and in which they go. Pure.

Definitions, namespaces and what else others need come first, whatever wave the rest has; then the
waves, from the lowest to the highest, and within each of them what is asked about others comes last:
an admission webhook that nobody answers for yet would keep its own pods away. Objects go the other
way round, and custom resources before whoever looks after them, since he may have to clean up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from kok.api.cluster.addon import AppliedObject
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_WAVE
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.applying.inventory import entry_identity
from kok.operators.cluster.businesscluster.apply import named
from kok.runtime.controller.errors import Invalid

WAVES: Final = 1000
"""Waves lie between this and its negative."""
BEFORE_ALL: Final = -WAVES - 1
"""The wave of what others need, where it names no other."""

_NEEDED = frozenset({"Namespace", "CustomResourceDefinition", "PriorityClass"})
_ASKED = frozenset(
    {
        "APIService",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    }
)
"""Kinds by which a cluster asks somebody before it does something."""
_OWN_GROUPS = frozenset(
    {
        "",
        "apps",
        "autoscaling",
        "batch",
        "policy",
        *(
            f"{group}.k8s.io"
            for group in (
                "admissionregistration",
                "apiextensions",
                "apiregistration",
                "certificates",
                "coordination",
                "discovery",
                "events",
                "flowcontrol.apiserver",
                "networking",
                "node",
                "rbac.authorization",
                "resource",
                "scheduling",
                "storage",
            )
        ),
    }
)
"""Groups that Kubernetes itself looks after; others end in `k8s.io` as well."""
_FIRST, _MIDDLE, _LAST = range(3)


@dataclass(frozen=True, slots=True)
class Step:
    """Objects that are applied side by side."""

    wave: int
    needed: bool
    """Whether what comes next cannot be applied before they are there."""
    manifests: tuple[Manifest, ...]


def wave_of(manifest: Manifest) -> int:
    """In which wave an object is applied. Raises `Invalid` for what is none."""
    notes = manifest["metadata"].get("annotations") or {}
    if not isinstance(notes, Mapping):
        text = f"{named(manifest)}: metadata.annotations must be a map of texts"
        raise Invalid(reasons.TEMPLATE_INVALID, text)
    given = notes.get(ANNOTATION_WAVE)
    if given is None:
        return BEFORE_ALL if manifest["kind"] in _NEEDED else 0
    wave = _whole(given)
    if wave is None:
        raise Invalid(
            reasons.TEMPLATE_INVALID,
            f'{named(manifest)}: annotation {ANNOTATION_WAVE} must be a whole number from "-{WAVES}" '
            f'to "{WAVES}", not {str(given)[:32]!r}',
        )
    return wave


def _whole(text: Any) -> int | None:
    try:
        wave = int(str(text)[:8])
    except ValueError:
        return None
    return wave if -WAVES <= wave <= WAVES else None


def steps(manifests: Sequence[Manifest]) -> list[Step]:
    """All of them, in the order in which they are applied. Raises `Invalid`."""
    placed = sorted(
        ((wave_of(one), _rank(str(one["kind"])), index) for index, one in enumerate(manifests))
    )
    return [
        Step(wave, rank == _FIRST, tuple(manifests[index] for _, _, index in these))
        for (wave, rank), these in groupby(placed, key=lambda found: found[:2])
    ]


def removal_order(entries: Iterable[AppliedObject]) -> list[AppliedObject]:
    """The order in which objects go."""
    return [entry for step in removal_steps(entries) for entry in step]


def removal_steps(entries: Iterable[AppliedObject]) -> list[list[AppliedObject]]:
    """The same by steps: those of one step go side by side, once the ones before are gone."""
    placed = sorted(entries, key=lambda entry: (_going(entry), entry_identity(entry)))
    return [list(step) for _, step in groupby(placed, key=_going)]


def _going(entry: AppliedObject) -> tuple[int, int]:
    """Its place among those that go: what somebody may have to clean up after goes before him."""
    rank = _rank(entry.kind)
    places = {_LAST: 0, _MIDDLE: 2 if entry.group in _OWN_GROUPS else 1, _FIRST: 3}
    return -entry.wave, places[rank]


def _rank(kind: str) -> int:
    return _FIRST if kind in _NEEDED else _LAST if kind in _ASKED else _MIDDLE
