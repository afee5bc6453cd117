"""What the cluster operator reads of an EtcdCluster is what the etcd operator writes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kok.api import EtcdCluster, conditions
from kok.api.etcd.contract import ContractCondition, EtcdContract, Restoring
from kok.api.etcd.status import EtcdCARotation, EtcdHibernation, EtcdRestored
from kok.operators.etcd import reasons

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def an_etcd(**spec: Any) -> EtcdCluster:
    meta = {"name": "shop-etcd", "namespace": "ns"}
    usual = {"version": "3.6.10", "members": 3, "storage": {"size": "1Gi"}}
    return EtcdCluster.parse({"metadata": meta, "spec": {**usual, **spec}})


def read(obj: EtcdCluster) -> EtcdContract:
    return EtcdContract.of({"spec": obj.spec.manifest(), "status": obj.status.manifest()})


def test_what_is_written_by_the_model_is_read() -> None:
    obj = an_etcd(hibernate=True)
    obj.status.hibernation = EtcdHibernation(step="Asleep", since=NOW)
    obj.status.restored = EtcdRestored(name="r", uid="u-1", bump=1, at=NOW)
    obj.status.ca_rotation = EtcdCARotation(request="one", phase="Trust", since=NOW, clients="both")
    obj.status.set_condition("Available", False, "Hibernated", "asleep", now=NOW)
    obj.status.set_condition("Ready", True, "Fine", "it is", now=NOW)

    found = read(obj)

    assert (found.version, found.told_to_sleep, found.is_asleep) == ("3.6.10", True, True)
    assert (found.restored, found.clients, found.restoring) == ("u-1", "both", None)
    assert found.conditions["Available"] == ContractCondition(False, "Hibernated", "asleep")
    assert found.serves


def test_its_operator_calls_conditions_as_others_do() -> None:
    ours = (reasons.READY, reasons.AVAILABLE, reasons.KEYS_RESTORED_CONDITION)

    assert ours == (conditions.READY, conditions.AVAILABLE, conditions.KEYS_RESTORED)


def test_a_restore_that_is_under_way_is_read() -> None:
    found = EtcdContract.of({"status": {"restore": {"name": "r", "step": "Seeding", "uid": "u"}}})

    assert found.restoring == Restoring("r", "Seeding")


@pytest.mark.parametrize(
    "odd",
    [
        None,
        {},
        {"spec": [], "status": "x"},
        {"status": {"conditions": {"a": 1}, "restore": 3, "hibernation": [], "restored": "u"}},
        {"status": {"conditions": [None, 1, {}], "caRotation": None}},
    ],
)
def test_what_somebody_else_wrote_there_says_nothing(odd: Any) -> None:
    found = EtcdContract.of(odd)

    assert not found.serves
    assert (found.restoring, found.restored, found.clients) == (None, None, None)
    assert (found.told_to_sleep, found.is_asleep, found.version) == (False, False, None)
