"""Looks for what a Job needs before it is made; a pod would wait for it without a word."""

from __future__ import annotations

import asyncio

from kok.api.etcd.store import BackupEncryption, BackupStore
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.etcd import reasons
from kok.operators.etcd.jobs import store as stores
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.controller.errors import Wait
from kok.runtime.policy import Policies, wrong_image, wrong_url

LOOK_AGAIN = 15.0
POLICY_AGAIN = 300.0
"""Neither the store of an object nor a policy changes without a new pass."""


def permit(pod: Manifest, own: EtcdSettings) -> None:
    """Raises `Wait` for a pod with an image of etcd that the administrator does not allow."""
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        if container["image"] == own.worker_image:
            continue
        field = "spec.images.registry of the EtcdCluster"
        forbidden = wrong_image(own, container["image"], field)
        if forbidden is not None:
            raise Wait(reasons.FORBIDDEN_BY_POLICY, forbidden, after=LOOK_AGAIN)


async def require(
    kube: Kube,
    namespace: str,
    store: BackupStore,
    encryption: BackupEncryption | None,
    policies: Policies,
) -> None:
    """Raises `Wait` with a sentence if an object or one of its keys is not there.

    And for a store that the administrator does not allow.
    """
    if store.s3 is not None:
        forbidden = wrong_url(policies, store.s3.endpoint, "store.s3.endpoint")
        if forbidden is not None:
            raise Wait(reasons.FORBIDDEN_BY_POLICY, forbidden, after=POLICY_AGAIN)
    needs = list(stores.needed(store, encryption))
    found = await asyncio.gather(*(kube.get(n.kind, n.name, namespace) for n in needs))
    for need, live in zip(needs, found, strict=True):
        sentence = stores.lacks(need, namespace, live)
        if sentence is not None:
            volume = need.kind == kinds.PVC
            reason = reasons.STORE_VOLUME_MISSING if volume else reasons.SECRET_MISSING
            raise Wait(reason, sentence, after=LOOK_AGAIN)
