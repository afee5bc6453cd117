"""Looks for what a Job needs before it is made; a pod would wait for it without a word."""

from __future__ import annotations

import asyncio

from kok.api.etcdstore import BackupEncryption, BackupStore
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.etcd import reasons
from kok.operators.etcd.backups import store as stores
from kok.runtime.errors import Wait

LOOK_AGAIN = 15.0


async def require(
    kube: Kube, namespace: str, store: BackupStore, encryption: BackupEncryption | None
) -> None:
    """Raises `Wait` with a sentence if an object or one of its keys is not there."""
    needs = list(stores.needed(store, encryption))
    found = await asyncio.gather(*(kube.get(n.kind, n.name, namespace) for n in needs))
    for need, live in zip(needs, found, strict=True):
        sentence = stores.lacks(need, namespace, live)
        if sentence is not None:
            volume = need.kind == kinds.PVC
            reason = reasons.STORE_VOLUME_MISSING if volume else reasons.SECRET_MISSING
            raise Wait(reason, sentence, after=LOOK_AGAIN)
