"""Why pods are refused, as users are told it."""

from __future__ import annotations

import pytest

from kok.api.meta import Manifest
from kok.runtime.pods import admission

QUOTA = (
    'Error creating: pods "one-backup-1-x7k2p" is forbidden: failed quota: strict: must specify '
    "limits.cpu for: backup"
)
RANGE = (
    'create Pod shop-etcd-0-0 in StatefulSet shop-etcd-0 failed error: pods "shop-etcd-0-0" is '
    "forbidden: minimum cpu usage per Container is 200m, but request is 100m"
)
POLICY = 'Error creating: admission webhook "images.example" denied the request: from nowhere'


def event(note: str, uid: str = "uid-1", at: str = "2026-11-01T00:00:00Z") -> Manifest:
    return {
        "metadata": {"name": "one.1", "creationTimestamp": "2026-11-01T00:00:00Z"},
        "reason": "FailedCreate",
        "regarding": {"uid": uid},
        "note": note,
        "series": {"lastObservedTime": at},
    }


@pytest.mark.parametrize(
    ("note", "told"),
    [
        (
            QUOTA,
            "its pod is refused: failed quota: strict: must specify limits.cpu for: backup; set "
            "spec.x, or change the namespace's ResourceQuota or LimitRange",
        ),
        (
            RANGE,
            "its pod is refused: minimum cpu usage per Container is 200m, but request is 100m; set "
            "spec.x, or change the namespace's ResourceQuota or LimitRange",
        ),
        (
            POLICY,
            'its pod is refused: admission webhook "images.example" denied the request: from '
            "nowhere; change what refuses it: a policy or an admission webhook of the meta cluster",
        ),
    ],
    ids=["quota", "limit range", "webhook"],
)
def test_a_refusal_is_quoted_with_what_to_do(note: str, told: str) -> None:
    assert admission.sentence(note, "spec.x") == told


def test_the_latest_refusal_of_this_very_object_counts() -> None:
    events = [
        event("early", at="2026-11-01T00:01:00.000000Z"),
        event("late", at="2026-11-01T00:02:00.000000Z"),
        event("another's", "uid-2", at="2026-11-01T00:03:00Z"),
    ]
    assert admission.newest(events, "uid-1") == "late"
    assert admission.newest(events, "uid-3") is None


def test_a_long_refusal_is_bounded() -> None:
    assert len(admission.sentence("x" * 100_000, "spec.x")) < 1000
