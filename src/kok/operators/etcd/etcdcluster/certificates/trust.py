"""What the status says of the CA and its rotation, which is a `kok.pki.rotation`. Pure functions."""

from __future__ import annotations

from datetime import datetime

from kok.api.etcd.etcdcluster import EtcdClusterStatus
from kok.api.etcd.status import EtcdCARotation
from kok.operators.etcd.pods import short
from kok.pki.rotation import Rotation


def recorded(status: EtcdClusterStatus) -> Rotation:
    """As the state machine knows it."""
    known = status.ca_rotation
    if known is None:
        return Rotation(status.ca_fingerprint)
    return Rotation(
        status.ca_fingerprint, known.phase, known.previous, known.next, announced=known.clients
    )


def record(
    status: EtcdClusterStatus, rotation: Rotation, now: datetime, *, request: str | None = None
) -> None:
    """Puts what became of a rotation into the status; `request` if it is another one's beginning."""
    known = status.ca_rotation
    status.ca_fingerprint = rotation.current
    if rotation.phase is None:
        return
    stays = known is not None and known.phase == rotation.phase and request is None
    status.ca_rotation = EtcdCARotation(
        request=request if request is not None else known.request if known is not None else "",
        phase=rotation.phase,
        since=known.since if known is not None and stays else now.replace(microsecond=0),
        previous=rotation.previous,
        next=rotation.next,
        clients=rotation.announced,
    )


def under_way(status: EtcdClusterStatus) -> EtcdCARotation | None:
    """The rotation that has yet to come to its end."""
    return status.ca_rotation if recorded(status).under_way else None


def text(status: EtcdClusterStatus) -> str:
    """What tells pods apart by whom they trust."""
    return recorded(status).mark


def kin(status: EtcdClusterStatus) -> set[str]:
    """Annotations of pods that can talk to each other."""
    return {short(one) for one in recorded(status).kin}
