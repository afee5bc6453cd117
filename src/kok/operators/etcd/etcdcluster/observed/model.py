"""What is observed of an EtcdCluster: its children, and what its members answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kok.api.meta import Kind, Manifest
from kok.etcdclient.model import EtcdError, ListedMember, MemberStatus
from kok.kube import kinds
from kok.operators.etcd.etcdcluster.observed.storage import Storage
from kok.operators.etcd.settings import Tuning


@dataclass(frozen=True, slots=True)
class Answer:
    """What one member answered, or why it did not."""

    status: MemberStatus | None = None
    members: tuple[ListedMember, ...] | None = None
    """The list that a quorum agrees on; None if this member cannot get one."""
    error: EtcdError | None = None
    """Why there is no status."""
    clock: datetime | None = None
    """What the member's clock showed; looked at only where it may be what is wrong."""
    seconds: float | None = None
    """How long it took to get that list, a consistent read; None if there is none."""


@dataclass(frozen=True)
class Observed:
    """What was found: children by kind and name, and answers by member name.

    A member whose pod has no address has no answer.
    """

    children: Mapping[tuple[str, str], Manifest] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    storage: Storage = field(default_factory=Storage)
    """What StorageClasses mean for the volumes."""
    worker_image: str = ""
    """KOK's own image, to work on volumes with; empty if nobody named it."""
    nodes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels of the nodes that members run on, where the spec is about them and they can be read."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Why members have no pod, by their names, where the meta cluster refuses it."""
    watched_since: datetime | None = None
    """Since when this process has looked without a gap; None if this is its first look."""
    tuning: Tuning = field(default_factory=Tuning)
    """Times and amounts by which it is judged."""

    def get(self, kind: Kind, name: str) -> Manifest | None:
        """One child."""
        return self.children.get((kind.kind, name))

    def all(self, kind: Kind) -> list[Manifest]:
        """All children of a kind, sorted by name."""
        return [m for (of, _), m in sorted(self.children.items()) if of == kind.kind]

    @property
    def secrets(self) -> dict[str, Manifest]:
        """All Secrets by name."""
        return {m["metadata"]["name"]: m for m in self.all(kinds.SECRET)}
