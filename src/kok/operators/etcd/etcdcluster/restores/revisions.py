"""How far revisions have come, so that a restore raises them beyond also where nobody answers."""

from __future__ import annotations

from kok.operators.etcd.etcdcluster.restores.takeover import BUMP, NO_ETCD
from kok.operators.etcd.etcdcluster.view import Situation

STEP = BUMP // 10
"""What is recorded lags by so many at most: a restore raises revisions by more than that anyway."""


def note(s: Situation) -> None:
    """Records the highest revision that a majority of members has reached, now and then."""
    status, voters = s.obj.status, s.entries("Member", "Leaving")
    said = [found.revision for m in voters if (found := s.said(m.name)) is not None]
    told = sorted((revision for revision in said if revision < NO_ETCD), reverse=True)
    need = len(voters) // 2 + 1
    # What a client has seen a majority has; what one member alone says may be a lie, and stays.
    if len(told) >= need and told[need - 1] > (status.highest_revision or 0) + STEP:
        status.highest_revision = told[need - 1]
