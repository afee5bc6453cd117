"""What a pass is to do, and when the next one comes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.operators.cluster.builders import (
    NOW,
)

from kok.api.cluster.status import CertificateStatus
from kok.operators.cluster.cluster.decide import (
    keys_hash,
    next_ask,
    next_pod_look,
    renewals,
)


def test_the_hash_of_keys_depends_on_every_key_and_not_on_their_order() -> None:
    assert keys_hash({"a": "1", "b": "2"}) == keys_hash({"b": "2", "a": "1"})
    assert keys_hash({"a": "1", "b": "2"}) != keys_hash({"a": "1", "b": "3"})


def test_what_is_due_and_cannot_be_renewed_is_not_looked_at_all_the_time() -> None:
    certificates = [
        CertificateStatus(name=name, not_after=NOW, renew_at=NOW + timedelta(seconds=seconds))
        for name, seconds in (("ca", -9), ("just-now", 0), ("soon", 0.5), ("later", 60))
    ]
    assert renewals(certificates, NOW) == [1.0, 60.0]


def test_an_api_is_asked_often_at_first_and_then_more_seldom() -> None:
    waits = [next_ask(NOW - timedelta(seconds=s), NOW) for s in (0, 5, 60, 3600)]
    assert waits == [0.2, 1.0, 12.0, 30.0]
    assert next_ask(NOW + timedelta(seconds=9), NOW) == 0.2


@pytest.mark.parametrize(("seconds", "look"), [(0, 10.0), (100, 20.0), (9000, 120.0)])
def test_pods_that_are_not_ready_are_looked_at_less_and_less_often(
    seconds: int, look: float
) -> None:
    pod = {"metadata": {"creationTimestamp": NOW.isoformat()}}
    assert next_pod_look(pod, NOW + timedelta(seconds=seconds)) == look
