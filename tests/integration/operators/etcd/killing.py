"""An etcd operator that is killed at every point where it could be, changes of etcd among them.

See `tests.integration.killing`: here a life ends before a write to the API or to etcd, so that the
answer to a call to etcd is lost as well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest import mock

from tests.integration import killing
from tests.integration.operators.etcd.conftest import ETCD

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.meta import Manifest
from kok.etcdclient.client import EtcdClient
from kok.kube.client import Kube
from kok.operators.etcd.handlers import EtcdBackups, EtcdClusters, EtcdRestores
from kok.operators.etcd.jobs.slots import Slots
from kok.operators.etcd.settings import EtcdSettings, Tuning
from kok.runtime.controller.reconciler import Reconciler

FINALIZER = "kok.dev/etcd-operator"
OWN = EtcdSettings(worker_image="kok:test")
BACKUP, RESTORE = EtcdBackup.info.kind, EtcdRestore.info.kind
Killed = killing.Killed


class Mortal(killing.Mortal):
    """It looks after the EtcdCluster of a name, and all EtcdBackups and EtcdRestores."""

    operator, kind = "etcd", ETCD

    def __init__(self, kube: Kube, namespace: str, lives: Iterator[int], name: str = "e") -> None:
        super().__init__(kube, namespace, lives, name)
        self.tuning = Tuning()
        """By what it looks after the EtcdCluster."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Sequence[Reconciler[Any]]]:
        """With a limit on Jobs of its own."""
        slots = Slots(OWN.worker_jobs)
        yield EtcdClusters(OWN, self.tuning), EtcdBackups(OWN, slots), EtcdRestores(OWN)

    @contextmanager
    def cutting(self) -> Iterator[None]:
        """Changes of etcd are writes, too."""
        change = EtcdClient._change

        async def cut(client: EtcdClient, address: str, path: str, *rest: Any) -> Any:
            self.spend(f"etcd {path}")
            return await change(client, address, path, *rest)

        with mock.patch.object(EtcdClient, "_change", cut):
            yield

    def doing(self, found: Manifest) -> str:
        """A restore goes before whatever else is under way, until members are added after it."""
        restore = (found.get("status") or {}).get("restore")
        if restore is not None and restore["step"] != "Growing":
            return f"Restore {restore['step']}"
        return super().doing(found)
