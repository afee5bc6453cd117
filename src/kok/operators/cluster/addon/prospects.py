"""Which reasons of an Addon pass by themselves, and which only somebody's hand ends. Pure.

Each reason that the `Ready` of an Addon may carry is in one of the two, and a test looks for those that are
in none: a rollout over many Clusters stops at once by the one sort, and gives the other its time.
"""

from __future__ import annotations

from typing import Final

from kok.operators.cluster import reasons
from kok.runtime.controller import reasons as runtime

HOPELESS: Final = frozenset(
    {
        reasons.HELM_MISSING,
        reasons.HOOKS_REFUSED,
        reasons.KUBERNETES_UNSUPPORTED,
        reasons.OBJECT_OWNED,
        reasons.OBJECT_TAKEN,
        reasons.SOURCE_INVALID,
        reasons.SOURCE_MISSING,
        reasons.SOURCE_REFUSED,
        reasons.TEMPLATE_INVALID,
        reasons.VALUES_INVALID,
    }
)
"""However long it is waited, nothing becomes of it: the spec, the repository or the cluster has to be
changed by somebody."""

PASSING: Final = frozenset(
    {
        # It is as it should be.
        reasons.AS_WANTED,
        reasons.WAITING_FOR_NODES,
        # The Cluster, which has conditions of its own.
        reasons.CLUSTER_DELETING,
        reasons.CLUSTER_MISSING,
        reasons.CLUSTER_UNREACHABLE,
        reasons.WAITING_FOR_CLUSTER,
        # Objects that may be created a moment later by the same hand.
        reasons.CONFIG_MAP_MISSING,
        reasons.SECRET_MISSING,
        reasons.VALUES_MISSING,
        # What is under way.
        reasons.DELETING_ADDONS,
        reasons.KIND_UNKNOWN,
        reasons.NOT_ESTABLISHED,
        reasons.NOT_HEALTHY,
        reasons.WAITING_FOR_DEPENDENCIES,
        reasons.WAITING_FOR_ROOM,
        reasons.WAITING_FOR_WAVE,
        # What others do, and may leave off.
        reasons.APPLY_FAILED,
        reasons.FOUGHT_OVER,
        reasons.RENDERING_UNFINISHED,
        reasons.SOURCE_UNREACHABLE,
        # What may befall any kind.
        runtime.ANSWER_TOO_LARGE,
        runtime.DELETING,
        runtime.INTERNAL_ERROR,
        runtime.NO_ROOM,
        runtime.PASS_TIMED_OUT,
        runtime.SPEC_PAUSED,
        runtime.STATUS_REFUSED,
        runtime.TOO_MANY_VALUES,
        runtime.UNREADABLE,
    }
)
"""It may be over by itself, or by what somebody is about to do anyway. So may whatever word an API server
has for a request that it refuses."""
