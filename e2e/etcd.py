"""EtcdClusters as scenarios use them: made, followed, and asked for their members."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from e2e.follow import condition, has, until
from e2e.lab import S3
from e2e.lab.errors import LabError
from e2e.world import World
from kok.api import EtcdCluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube

KIND = EtcdCluster.info.kind
NAME = "e"
VERSION = "3.6.10"
CERTIFICATES = "/etc/etcd/server"
"""Where a member's pod has the certificate that it shows to clients; it serves as one, too."""
STORE_SECRET, STORE_CA = "store", "store-ca"
SOON, LONG = 120.0, 300.0

Check = Callable[[Manifest], bool]


def manifest(namespace: str, name: str = NAME, **spec: Any) -> Manifest:
    """An EtcdCluster of three members on the smallest volumes; `spec` changes that."""
    usual = {"version": VERSION, "members": 3, "storage": {"size": "1Gi"}}
    return {
        "apiVersion": KIND.api_version,
        "kind": KIND.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**usual, **spec},
    }


async def made(w: World, namespace: str, name: str = NAME, **spec: Any) -> Manifest:
    """Makes one and waits until it is healthy."""
    await w.apply(manifest(namespace, name, **spec))
    return await ready(w, namespace, name)


async def ready(w: World, namespace: str, name: str = NAME, within: float = LONG) -> Manifest:
    """Waits until all members are healthy."""
    return await w.until(KIND, namespace, name, settled, within)


def settled(obj: Manifest) -> bool:
    """Whether all members are there and healthy, and nothing is being done about them."""
    status = obj.get("status") or {}
    return (
        has("Ready")(obj)
        and not status.get("operation")
        and status.get("readyMembers") == obj["spec"]["members"]
    )


def sentence(obj: Manifest, type_: str) -> str:
    """What a condition says."""
    return str(condition(obj, type_).get("message") or "")


def says(type_: str, status: str, *reasons: str) -> Check:
    """Whether a condition has that status for one of the reasons (any if none), with a sentence."""

    def check(obj: Manifest) -> bool:
        found = condition(obj, type_)
        fits = found.get("status") == status and bool(found.get("message"))
        return fits and (not reasons or found.get("reason") in reasons)

    return check


async def get(w: World, namespace: str, name: str = NAME) -> Manifest:
    """The EtcdCluster, which must exist."""
    found = await w.kube.get(KIND, name, namespace)
    if found is None:
        raise AssertionError(f"there is no EtcdCluster {namespace}/{name}")
    return found


async def change(w: World, namespace: str, name: str = NAME, **spec: Any) -> None:
    """Changes fields of the spec, as a user would with `kubectl patch`."""
    await w.kube.patch(KIND, name, namespace, {"spec": spec})


async def refused(w: World, sentence: str, namespace: str, name: str = NAME, **spec: Any) -> None:
    """A change of the spec that the API server refuses with a sentence."""
    patch = json.dumps({"spec": spec})
    try:
        await w.lab.kubectl(
            *("patch", KIND.plural, name, "-n", namespace, "--type=merge", "-p", patch)
        )
    except LabError as error:
        if sentence not in str(error):
            raise AssertionError(f"expected {sentence!r} in {error}") from error
        return
    raise AssertionError(f"the API server took {patch}")


def roles(obj: Manifest) -> tuple[str, list[str]]:
    """The leader's name, and those of all other members."""
    status = obj.get("status") or {}
    leader = str(status.get("leader") or "")
    others = [m["name"] for m in status.get("members") or () if m["name"] != leader]
    if not leader:
        raise AssertionError(f"EtcdCluster {obj['metadata']['name']} shows no leader")
    return leader, others


async def leading(w: World, namespace: str, name: str = NAME) -> tuple[str, list[str]]:
    """The leader's name, and those of all other members; members may be about to elect one."""

    def led(obj: Manifest) -> bool:
        return bool((obj.get("status") or {}).get("leader"))

    return roles(await until(w.kube, KIND, name, namespace, led, within=LONG))


def pod(member: str) -> str:
    """The pod of a member."""
    return f"{member}-0"


def lives(found: Manifest | None) -> tuple[str, int]:
    """What is another one after a pod or its container was killed: UID and number of restarts."""
    if found is None:
        return "", 0
    statuses = (found.get("status") or {}).get("containerStatuses") or ()
    return found["metadata"]["uid"], sum(int(s.get("restartCount", 0)) for s in statuses)


def pod_ready(found: Manifest) -> bool:
    """Whether a pod passes its readiness probe and is not on its way out."""
    return has_condition(found, "Ready") and not found["metadata"].get("deletionTimestamp")


def has_condition(found: Manifest, type_: str) -> bool:
    """Whether a condition of a pod or node is True."""
    return condition(found, type_).get("status") == "True"


@asynccontextmanager
async def recovered(
    w: World, namespace: str, *members: str, name: str = NAME, within: float = LONG
) -> AsyncIterator[dict[str, float]]:
    """What is done in the block harms these members. Afterwards waits until each of them runs
    anew and the EtcdCluster is healthy; `pods` and `healthy` tell after how many seconds."""
    before = {m: lives(await w.kube.get(kinds.POD, pod(m), namespace)) for m in members}
    took: dict[str, float] = {}
    yield took
    begin = time.monotonic()

    async def again(member: str) -> None:
        def anew(found: Manifest) -> bool:
            return lives(found) != before[member] and pod_ready(found)

        await w.until(kinds.POD, namespace, pod(member), anew, within)

    await asyncio.gather(*(again(member) for member in members))
    took["pods"] = round(time.monotonic() - begin, 1)
    await ready(w, namespace, name, within)
    took["healthy"] = round(time.monotonic() - begin, 1)


@asynccontextmanager
async def followed(
    w: World, namespace: str, see: Callable[[Manifest], None], name: str = NAME
) -> AsyncIterator[None]:
    """Shows every state of the EtcdCluster to `see` as long as the block lasts."""

    async def follow() -> None:
        fields = {"metadata.name": name}
        async with aclosing(w.kube.watch(KIND, namespace, fields=fields)) as events:
            async for event in events:
                if event.type in {"ADDED", "MODIFIED"}:
                    see(event.object)

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def place(w: World, *namespaces: str, within: float = LONG) -> AsyncIterator[None]:
    """Fresh namespaces, gone again at the end, also after a failure."""
    await asyncio.gather(*(w.drop_namespace(each, within) for each in namespaces))
    for each in namespaces:
        await w.namespace(each)
    try:
        yield
    except BaseException:
        for each in namespaces:
            with contextlib.suppress(Exception):
                w.report.text(await remains(w, each))
        raise
    finally:
        await asyncio.gather(*(w.drop_namespace(each, within) for each in namespaces))


async def remains(w: World, namespace: str) -> str:
    """What a failed scenario leaves to look at, before it goes."""
    shown = await w.lab.kubectl("get", "kok,pods,pvc,jobs", "-n", namespace, "-o", "wide")
    status = await w.lab.kubectl("get", KIND.plural, "-n", namespace, "-o", "yaml")
    return f"{shown}\n{status}"


async def forgotten(kube: Kube, namespace: str, claim: str) -> None:
    """Deletes a volume for good, although a pod may still use it."""
    await kube.delete(kinds.PVC, claim, namespace)
    patch = {"metadata": {"finalizers": None}}
    with contextlib.suppress(Exception):
        await kube.patch(kinds.PVC, claim, namespace, patch)


async def etcdctl(w: World, namespace: str, member: str, *argv: str) -> str:
    """etcdctl in a member's pod, as its owner would call it."""
    return await w.lab.kubectl(
        *("exec", "-n", namespace, pod(member), "--", "etcdctl"),
        *("--endpoints=https://localhost:2379", f"--cacert={CERTIFICATES}/ca.crt"),
        *(f"--cert={CERTIFICATES}/tls.crt", f"--key={CERTIFICATES}/tls.key"),
        *argv,
    )


async def revision(w: World, namespace: str, member: str) -> int:
    """The latest revision that a member has by its own account, with or without a quorum."""
    said = await etcdctl(w, namespace, member, "endpoint", "status", "-w", "json")
    return int(json.loads(said)[0]["Status"]["header"]["revision"])


async def answered(w: World, namespace: str, member: str, *argv: str, within: float = LONG) -> str:
    """etcdctl, asked until it is answered: without a leader members elect another one first."""
    async with asyncio.timeout(within):
        while True:
            try:
                return await etcdctl(w, namespace, member, *argv)
            except LabError as error:
                w.report.line(f"etcdctl {argv[0]}: {str(error).splitlines()[-1]}")
            await asyncio.sleep(1.0)


# --- where backups lie


@asynccontextmanager
async def bucket(w: World, name: str) -> AsyncIterator[S3]:
    """The lab's S3 server with an empty bucket of that name, which is gone again at the end."""
    with w.report.step("S3 server"):
        s3 = await w.lab.want_s3()
    s3.make_bucket(name)
    try:
        yield s3
    finally:
        s3.remove_bucket(name)


async def store(
    w: World, namespace: str, s3: S3, bucket: str, *, endpoint: str = "", prefix: str = ""
) -> dict[str, Any]:
    """The user's Secret and CA for the lab's S3 server; the `store` that names them."""
    meta = {"namespace": namespace}
    await w.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": STORE_SECRET, **meta},
            "stringData": {"accessKeyID": s3.access_key, "secretAccessKey": s3.secret_key},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": STORE_CA, **meta},
            "data": {"ca.crt": s3.ca},
        },
    )
    found = {
        "bucket": bucket,
        "endpoint": endpoint or s3.endpoint,
        "region": s3.region,
        "ca": {"configMap": STORE_CA},
        "secret": STORE_SECRET,
    }
    return {"s3": {**found, "prefix": prefix} if prefix else found}
