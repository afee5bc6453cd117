"""What a built-in addon asks of a cluster before it makes sense there, as its metadata says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Needs:
    """What of a cluster an addon depends on; by default nothing."""

    since: str = ""
    """Lowest minor of Kubernetes that it works with, such as `1.34`; empty: any."""
    gpu: bool = False
    """A host with a GPU of NVIDIA."""
    tunnel: bool = False
    """A tunnel between control plane and cluster (`spec.network.tunnel`)."""
    role: str = ""
    """What a cluster has one of, such as `network`; two addons of the same role exclude each other."""


def needs_of(metadata: Mapping[str, Any]) -> Needs:
    """The keys `needs` and `role` of an addon's metadata. Raises `TypeError` for an unknown need."""
    return Needs(role=metadata.get("role") or "", **(metadata.get("needs") or {}))
