"""The restore by which an EtcdCluster was to get its first data."""

from __future__ import annotations

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.etcd.builders import (
    NOW,
    an_etcd,
    formed,
)
from tests.unit.operators.etcd.etcdcluster.restores.builders import a_restore, passing, progress

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.kube.client import Kube
from kok.operators.etcd import clusterstatus, reasons
from kok.operators.etcd.etcdcluster.restores import takeover
from kok.operators.etcd.etcdrestore.reconcile import EtcdRestores
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.controller.reconciler import Pass


def begun_by_hand(step: str | None = None) -> EtcdCluster:
    """One that was to begin with a backup, and to which a person gave another one meanwhile."""
    obj = formed(restoreFrom={"backup": "one"})
    done = {"name": "by-hand", "uid": "uid-by-hand", "at": NOW.isoformat(), "bump": 1}
    more = {"restored": done} | ({"restore": progress(step)} if step else {})
    obj.status = type(obj.status).model_validate({**obj.status.manifest(), **more})
    return obj


def test_one_that_waited_overwrites_no_data_that_came_otherwise() -> None:
    obj = begun_by_hand()
    late, mine = a_restore(clusterstatus.origin(obj)), a_restore("mine", 1)
    done = a_restore("by-hand", phase="Complete")

    assert takeover.due(obj, [late, done]) is None
    assert takeover.due(obj, [late, done, mine]) is mine
    adopted = formed(restoreFrom={"backup": "one"})
    assert takeover.due(adopted, [late]) is None, "nor data that was there before"


def test_the_first_data_still_comes_by_it() -> None:
    new = an_etcd(restoreFrom={"backup": "one"})
    first = a_restore(clusterstatus.origin(new))

    assert takeover.due(new, [first]) is first
    # One of that name which a person made of a cluster without restoreFrom is like any other.
    assert takeover.due(formed(), [first]) is first


async def told(cluster: EtcdCluster, restore: EtcdRestore, kube: Kube, api: FakeApi) -> EtcdRestore:
    """What a restore says of itself in a pass."""
    api.put("/apis/kok.dev/v1alpha1/namespaces/team-a/etcdclusters/shop-etcd", cluster.manifest())
    p: Pass[EtcdRestore] = passing(restore, kube)
    await EtcdRestores(EtcdSettings()).reconcile(p)
    return restore


@pytest.mark.parametrize("phase", [None, "Pending", "Verifying", "Verified"])
async def test_it_says_that_it_is_not_wanted_any_more(
    phase: str | None, api: FakeApi, kube: Kube
) -> None:
    obj = begun_by_hand()

    found = await told(obj, a_restore(clusterstatus.origin(obj), phase=phase), kube, api)

    assert found.status.phase == "Failed"
    ready = found.status.condition(reasons.READY)
    assert ready is not None
    assert ready.reason == reasons.RESTORE_REFUSED
    assert "got its first data by EtcdRestore by-hand already" in ready.message


@pytest.mark.parametrize("step", [None, "Growing"])
async def test_the_one_by_which_the_first_data_came_is_not_void(
    step: str | None, api: FakeApi, kube: Kube
) -> None:
    obj = begun_by_hand(step)
    mine = a_restore(clusterstatus.origin(obj), phase="Restoring")
    assert obj.status.restored is not None
    obj.status.restored.uid = mine.metadata.uid
    if obj.status.restore is not None:
        obj.status.restore.uid = mine.metadata.uid

    found = await told(obj, mine, kube, api)

    assert found.status.phase == ("Complete" if step is None else "Restoring")
