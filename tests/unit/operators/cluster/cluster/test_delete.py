"""A Cluster goes after its Addons, also after those that cannot be read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.cluster.builders import NOW, a_cluster, an_addon

from kok.kube.client import Kube
from kok.operators.cluster.cluster.delete import ADDONS_FOR, Deletion
from kok.runtime.clock import FakeClock
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings


def passing(kube: Kube, seconds: float) -> Pass[Any]:
    cluster = a_cluster()
    cluster.metadata.deletion_timestamp = NOW - timedelta(seconds=seconds)
    return Pass(
        obj=cluster,
        status=cluster.status.model_copy(deep=True),
        kube=kube,
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )


async def test_an_addon_that_cannot_be_read_is_waited_for_within_the_usual_time(
    api: FakeApi, kube: Kube
) -> None:
    addon = an_addon("coredns")
    addon["spec"]["source"] = ["builtin"]
    theirs = an_addon("other")
    theirs["spec"] = {"cluster": "other", "source": 7}
    for one in (addon, theirs):
        name = one["metadata"]["name"]
        api.put(f"/apis/kok.dev/v1alpha1/namespaces/team-a/addons/{name}", one)
    with pytest.raises(Wait, match="waiting for Addon shop-coredns to go"):
        await Deletion(passing(kube, 0)).step()
    p = passing(kube, ADDONS_FOR.total_seconds())
    await Deletion(p).step()
    assert [e.reason for e in p.events] == ["GaveUp"]
