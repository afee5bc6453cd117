"""Settings of the etcd operator: those by environment variables `KOK_...`, and what nobody sets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pydantic import Field

from kok.kube.objects.children import LEAVING
from kok.runtime.policy import Policies


class EtcdSettings(Policies):
    """All times are in seconds."""

    worker_image: str = ""
    """Image of the Jobs that move backups; the chart sets it to the operators' own."""
    worker_jobs: int = Field(default=4, ge=1)
    """How many of them run at the same time, over all EtcdClusters; of one namespace at most three
    quarters. The first one of a namespace waits only for twice as many."""
    worker_deadline: float = Field(default=3600.0, ge=60.0)
    """After what time one of them is given up and tried again."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Times and amounts that an EtcdCluster is looked after by; times without a unit are seconds."""

    look_healthy: float = 30.0
    """Between two looks at members that are all well: etcd tells of nothing by itself."""
    look_troubled: float = 5.0
    """Between two looks at others."""
    look_soon: float = 0.3
    """Between two looks while an operation waits for etcd, of whose steps nobody tells either."""
    look_at_long: tuple[tuple[timedelta, float], ...] = (
        (timedelta(minutes=15), 5.0),
        (timedelta(minutes=3), 1.0),
    )
    """Seconds at least between two looks at an operation that is that old; the oldest comes first."""
    look_stopping: float = 1.0
    """Between two looks at members that stop, or start, all at once."""
    look_seeding: float = 10.0
    """Between two looks at what a restore waits for: of the end of a Job or an EtcdRestore we are told,
    of the refusal of a Job's pod not."""
    call_again_after: float = 2.0
    """Until a call to etcd that failed, and not for a trouble of seconds, is thought over again."""
    nudge_again_after: float = 1.0
    """Until the kubelet is made to look at a pod again that lacks what is there by now."""
    compare_again_after: float = 15.0
    """Between two comparisons of members' data, each of which reads whole databases."""
    ask_another_after: timedelta = timedelta(seconds=20)
    """How long one member is asked for a change of the list before another one is."""
    not_ready_deadline: float = 1.0
    """For a question to a member that does not pass its probe.

    One that starts takes connections long before it answers, and its first answer is what an
    operation waits for: to hang on for longer would only delay the next question."""
    pod_stuck_after: timedelta = timedelta(seconds=30)
    """How much longer than its time to end a pod may take before its node counts as gone."""
    begin_again_after: timedelta = timedelta(seconds=10)
    """How long after its beginning an operation is begun anew that failed once; it doubles."""
    learner_lag: int = 5000
    """Entries of raft's log that a learner may be behind the leader when it gets its vote.

    etcd's own check lets it be a tenth of the whole log behind, by what the leader believes: with
    such a member's vote, writes could stand still until it has caught up."""
    recover_after: timedelta = timedelta(seconds=60)
    """How long a quorum has to be seen to be lost before it is taken for lost."""
    roll_stuck_after: timedelta = timedelta(minutes=3)
    """After what time a member that does not come back is called stuck; it is waited for all the
    same, since an image may take long to arrive."""
    waking_for: timedelta = timedelta(minutes=3)
    """How long members that start are waited for before what is wrong with them is judged as ever."""
    steady_after: timedelta = timedelta(minutes=10)
    """How long a member has to be seen to be healthy before its settings are held to be good."""
    free_again_after: timedelta = timedelta(minutes=10)
    """How long after an attempt that made no room in a full database the next one waits."""
    defragment_again_after: timedelta = timedelta(hours=1)
    """How long a member is left alone after it was defragmented, whatever came of it."""
    worth_defragmenting: int = 100 * 1024**2
    """Bytes from which on a database is defragmented: below, it is not worth the pause."""
    delete_within: timedelta = timedelta(minutes=2)
    """How long stopping pods and volumes of a deleted one are waited for; a node that is gone never
    tells."""
    delete_at_once: int = LEAVING
    """Children of a kind that one pass over a deleted one sees beside those that it knows by name."""
    unknown_volumes: int = 64
    """Volumes of members that are not known (any more) which one pass looks at: of what was retained,
    or where the status was lost, all have to be seen."""
