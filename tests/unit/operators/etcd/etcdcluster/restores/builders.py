"""Builders of EtcdRestores, and of EtcdClusters in the middle of one."""

from __future__ import annotations

from typing import Any

import structlog
from tests.unit.operators.etcd.builders import (
    NOW,
    UID,
    formed,
)

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.kube.client import Kube
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings

SOURCE: dict[str, Any] = {
    "store": {"volume": {"claim": "backups"}},
    "key": "team-a/shop-etcd/one.snapshot",
    "sha256": "0" * 64,
    "size": 1000,
    "revision": 100,
    "etcdVersion": "3.6.10",
}


def a_restore(name: str = "back", minute: int = 0, **status: Any) -> EtcdRestore:
    """One whose backup was proven."""
    return EtcdRestore.parse(
        {
            "metadata": {
                "name": name,
                "namespace": "team-a",
                "uid": f"uid-{name}",
                "creationTimestamp": f"2026-11-01T00:{minute:02}:00Z",
            },
            "spec": {"etcdCluster": "shop-etcd", "backup": "one"},
            "status": {"phase": "Verified", "clusterUID": UID, "source": SOURCE, **status},
        }
    )


def progress(step: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "back",
        "uid": "uid-back",
        "step": step,
        "since": "2026-11-01T00:00:00Z",
        "source": SOURCE,
        "bump": 10**9,
        "member": "shop-etcd-3",
        **more,
    }


def restoring(step: str) -> EtcdCluster:
    obj = formed()
    obj.status = type(obj.status).model_validate(
        {**obj.status.manifest(), "restore": progress(step)}
    )
    return obj


def passing(obj: Any, kube: Kube) -> Any:
    return Pass(
        obj=obj,
        status=obj.status,
        kube=kube,
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )
