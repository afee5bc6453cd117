"""Which backup of a store an EtcdRestore finds."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.etcd.builders import formed
from tests.unit.operators.etcd.etcdbackup.builders import a_pass

from kok.api.etcd.etcdrestore import EtcdRestore
from kok.backup.report import ListResult, Report
from kok.kube.client import Kube
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdrestore.conditions import Outcome
from kok.operators.etcd.etcdrestore.verification import Refused, Verification
from kok.operators.etcd.settings import EtcdSettings


async def test_where_nobody_can_tell_which_is_the_newest_none_is_restored(
    kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    obj = EtcdRestore.parse(
        {
            "metadata": {"name": "back", "namespace": "team-b", "uid": "uid-back"},
            "spec": {
                "etcdCluster": "shop-etcd",
                "newestOf": "team-a/shop-etcd",
                "store": {"volume": {"claim": "backups"}},
            },
        }
    )

    async def listed(*_args: Any) -> Report:
        return Report(listing=ListResult(total=2, doubt="nobody can tell whether a or b is"))

    one = Verification(a_pass(obj, kube), Outcome("Pending"), EtcdSettings())
    monkeypatch.setattr(one, "_job", listed)
    with pytest.raises(Refused) as raised:
        await one._found(formed())

    assert raised.value.reason == reasons.RESTORE_REFUSED
    text = "nobody can tell whether a or b is; name the one that you want by spec.key"
    assert raised.value.message == text
