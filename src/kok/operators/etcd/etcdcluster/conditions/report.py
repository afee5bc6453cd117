"""Puts conditions and phase of an EtcdCluster into its status, the only module that does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from kok.api.etcd.etcdcluster import EtcdClusterStatus
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.runtime.conditions import Verdict, put


def tell(
    status: EtcdClusterStatus,
    verdicts: Mapping[str, Verdict | None],
    phase: str,
    outcome: Outcome,
    *,
    now: datetime,
    generation: int,
) -> None:
    """`verdicts` are by the type of the condition; of None a condition is dropped.

    `outcome` is what acting found out beside that.
    """
    found = {**verdicts, **outcome.verdicts}
    ready = found[reasons.READY]
    if outcome.refused is not None and ready is not None and ready.reason == outcome.refused.reason:
        found[reasons.READY] = outcome.refused
    said = {type_: verdict for type_, verdict in found.items() if verdict is not None}
    put(status, said, now=now, generation=generation)
    status.drop_conditions(found.keys() - said.keys())
    status.phase = phase
