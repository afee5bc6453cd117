"""What a pass over an EtcdBackup is about: an attempt to store it, or a trial of what is stored. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from kok.api.etcd.etcdbackup import EtcdBackup, EtcdProof
from kok.operators.etcd import naming
from kok.operators.etcd.clocks import waits
from kok.operators.etcd.etcdbackup import trial

REQUEST_MAX = 253


@dataclass(frozen=True, slots=True)
class Decision:
    """What is gone on with now."""

    step: Literal["Attempt", "Trial", "Rest"]
    phase: str
    """As it is recorded."""
    asked: EtcdProof | None = None
    """A trial that was asked for since the last pass; recorded before its Job is made."""
    after: float | None = None
    """Seconds until it is decided anew."""


def decide(obj: EtcdBackup, now: datetime) -> Decision:
    """By the recorded status and what the annotation asks for."""
    phase = obj.status.phase or "Pending"
    if phase != "Complete":
        return Decision("Rest" if phase == "Failed" else "Attempt", phase)
    asked = _asked(obj, now)
    proof = asked or obj.status.verification
    if proof is None or proof.result != "Running":
        return Decision("Rest", phase)
    if proof.retry_at is not None and waits(proof.retry_at, now, trial.LONGEST_DELAY):
        return Decision("Rest", phase, after=(proof.retry_at - now).total_seconds())
    return Decision("Trial", phase, asked)


def _asked(obj: EtcdBackup, now: datetime) -> EtcdProof | None:
    """A trial is asked for by any value of the annotation that differs from the last one."""
    asked = obj.metadata.annotations.get(naming.ANNOTATION_VERIFY, "")[:REQUEST_MAX]
    proof = obj.status.verification
    under_way = proof is not None and proof.result == "Running"
    if not asked or under_way or (proof is not None and proof.request == asked):
        return None
    return EtcdProof(request=asked, result="Running", at=now.replace(microsecond=0))
