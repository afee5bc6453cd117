"""Which CA pods are to trust, by what the status says of the CA and its rotation. Pure functions."""

from __future__ import annotations

from kok.api.etcd.etcdcluster import EtcdClusterStatus
from kok.api.etcd.status import EtcdCARotation
from kok.operators.etcd.pods import short

_SHOWN = 12
"""Hexadecimal digits of a fingerprint that tell rotations apart."""


def under_way(status: EtcdClusterStatus) -> EtcdCARotation | None:
    """The rotation that has yet to come to its end."""
    rotation = status.ca_rotation
    return rotation if rotation is not None and rotation.phase != "Done" else None


def token(rotation: EtcdCARotation, phase: str | None = None) -> str:
    """What `status.caRotation.clients` says when the Secrets are as a phase wants them.

    The last phase and what comes after it are the same to everybody.
    """
    shown = (rotation.next or "").removeprefix("sha256:")[:_SHOWN]
    at = phase or rotation.phase
    return f"{'Drop' if at == 'Done' else at}-{shown}"


def text(status: EtcdClusterStatus) -> str:
    """What tells pods apart by whom they trust; the CA's fingerprint but for a rotation.

    It changes only when the Secrets are known to have changed: a pod that is made anew then has
    what its annotation says.
    """
    rotation = status.ca_rotation
    if rotation is None or not rotation.clients or rotation.clients.startswith("Drop-"):
        return status.ca_fingerprint or ""
    return rotation.clients


def kin(status: EtcdClusterStatus) -> set[str]:
    """Annotations of pods that can talk to each other: those of all phases of one rotation.

    Each phase begins when all members have arrived in the one before.
    """
    rotation, current = status.ca_rotation, status.ca_fingerprint or ""
    if rotation is None or not rotation.previous or not rotation.next:
        return {short(current)}
    if current not in {rotation.previous, rotation.next}:
        return {short(current)}
    between = (token(rotation, "Trust"), token(rotation, "Reissue"))
    return {short(one) for one in (rotation.previous, *between, rotation.next)}
