"""What an EtcdBackup says of itself: the only module that sets its conditions and its phase."""

from __future__ import annotations

from dataclasses import dataclass, field

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.runtime.conditions import Verdict, put
from kok.runtime.controller.reconciler import Pass


@dataclass(slots=True)
class Outcome:
    """What a pass finds out while it acts."""

    phase: str | None
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    """By the type of the condition; all others stay."""


def tell(p: Pass[EtcdBackup], outcome: Outcome) -> None:
    """Puts into the status what was found out so far: at the end of a pass, and before something is
    done that is not done again, as no later pass would find it out.
    """
    p.status.phase = outcome.phase
    put(p.status, outcome.verdicts, now=p.now, generation=p.obj.metadata.generation)
