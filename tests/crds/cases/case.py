"""One mistake of a user's, and the sentence that he gets for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.crds.samples import MINIMAL

Spec = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """`spec` is refused at `field` with `sentence`; with `was`, as a change of that spec.

    `runs` is what `status.version` says before the change.
    """

    kind: str
    field: str
    sentence: str
    spec: Spec
    was: Spec | None = None
    name: str | None = None
    runs: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence[:60]}"


def of_cluster(field: str, sentence: str, spec: Spec, was: Spec | None = None) -> Case:
    base: Spec = {"version": "1.37.1"}
    before = None if was is None else {**base, **was}
    return Case("Cluster", field, sentence, {**base, **spec}, before)


def of_running(sentence: str, version: str, *, runs: str) -> Case:
    spec: Spec = {"version": version}
    return Case("Cluster", "", sentence, spec, {"version": runs}, runs=runs)


def of_network(sentence: str, **network: Any) -> Case:
    return of_cluster("spec.network", sentence, {"network": network})


def of(kind: str, field: str, sentence: str, spec: Spec, was: Spec | None = None) -> Case:
    base = MINIMAL[kind] or {}
    before = None if was is None else {**base, **was}
    return Case(kind, field, sentence, {**base, **spec}, before)


def named(kind: str, name: str, sentence: str) -> Case:
    return Case(kind, "", sentence, MINIMAL[kind] or {}, name=name)
