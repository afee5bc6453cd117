"""Members of an etcd cluster move: one, all, to other nodes, to another class of volumes.

At the end a node dies for good, and its member is replaced on another one; later the node is back.
A writer keeps writing, a quorum is there at every moment, and no confirmed write is lost.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from e2e.faults import disruption
from e2e.fixtures import etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.writer import Writer, gap, read_back, writing
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd.naming import ANNOTATION_MOVE

NAMESPACE = "e2e-etcd-migrate"
NODES = ("meta-1", "meta-2", "meta-3")
DIES = NODES[2]
STANDSTILL = 30.0
"""Seconds that an election takes at most, on a machine that has much else to do."""
SITE = "e2e.kok.dev/site"
SECOND = "lab-second"
"""Another StorageClass of the lab's provisioner."""
IMPATIENT = [
    {
        "key": f"node.kubernetes.io/{taint}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 10,
    }
    for taint in ("not-ready", "unreachable")
]
"""Kubernetes itself waits for 300 s before it gives up the pods of a node that is gone."""


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was, but for its three nodes."""
    async with environment(report, meta=len(NODES), workers=0) as w, enough_rights(w):
        await members_move(w)
        await node_dies(w)


async def members_move(w: Environment) -> None:
    """One, all, off a node, to other volumes."""
    async with etcd.fresh_namespaces(w, NAMESPACE):
        with w.report.step("three members on three nodes", "create_s"):
            await etcd.create(w, NAMESPACE)
        async with writing(w, NAMESPACE, etcd.NAME) as writer:
            await one_moves(w, writer)
            await all_move(w, writer)
            await other_nodes(w, writer)
            await other_class(w, writer)
            await read_back(w, writer)


async def node_dies(w: Environment) -> None:
    """A node goes off for good: its member is replaced on another one; later it is back."""
    with w.report.step("KOK and DNS away from the node that dies"):
        await disruption.system_away_from(w, [DIES])
    async with etcd.fresh_namespaces(w, NAMESPACE):
        await etcd.create(
            w,
            NAMESPACE,
            recovery={"replaceAfter": "1m"},
            placement={"tolerations": IMPATIENT},
        )
        async with writing(w, NAMESPACE, etcd.NAME) as writer:
            member = next(name for name, node in (await nodes(w)).items() if node == DIES)
            await writer.lap()
            async with switched_off(w, DIES):
                with w.report.step(f"{DIES} is off, {member} is replaced elsewhere", "node_died_s"):
                    await w.until(etcd.KIND, NAMESPACE, etcd.NAME, without(member), 2 * etcd.LONG)
                if DIES in (await nodes(w)).values():
                    raise AssertionError(f"the new member is on {DIES}, which is off")
                await _had_quorum(w, writer, "node_died")
            with w.report.step("the node is back, and what was left there goes"):
                await w.gone(kinds.POD, NAMESPACE, etcd.pod(member), etcd.SOON)
                await w.gone(kinds.PVC, NAMESPACE, member, etcd.SOON)
                await etcd.ready(w, NAMESPACE)
            await read_back(w, writer)


async def one_moves(w: Environment, writer: Writer) -> None:
    """The leader is asked to leave its node, which takes no new pods."""
    before = await nodes(w)
    member, _ = await etcd.leading(w, NAMESPACE)
    node = before[member]
    await writer.lap()
    with w.report.step(f"{member}, which leads, is to leave {node}", "one_moved_s"):
        async with cordoned(w, node):
            await ask(w, member)
            await moved(w, [member])
    after = await nodes(w)
    if set(before) - set(after) != {member} or node in after.values():
        raise AssertionError(f"{member} was to leave {node}: members were {before}, are {after}")
    await _had_quorum(w, writer, "one_moved")


async def all_move(w: Environment, writer: Writer) -> None:
    """All members are asked to move."""
    before = await nodes(w)
    await writer.lap()
    with w.report.step("all members are to move", "all_moved_s"):
        await ask(w, "all")
        await moved(w, before)
    await ask(w, None)
    await _had_quorum(w, writer, "all_moved")


async def other_nodes(w: Environment, writer: Writer) -> None:
    """Only two of the nodes are allowed from now on; whoever is there stays."""
    site = NODES[:2]
    before = await nodes(w)
    away = {member for member, node in before.items() if node not in site}
    await writer.lap()
    with w.report.step(f"only {' and '.join(site)} are allowed", "other_nodes_s"):
        async with labelled(w, site, SITE, "a"):
            await etcd.change(w, NAMESPACE, placement={"nodeSelector": {SITE: "a"}})
            await moved(w, away)
            after = await nodes(w)
            if set(before) - set(after) != away or not set(after.values()) <= set(site):
                raise AssertionError(f"members were {before}, are {after}")
            # Before the labels go, or nobody would fit any more.
            await etcd.change(w, NAMESPACE, placement={"nodeSelector": None})
            await etcd.ready(w, NAMESPACE)
    await _had_quorum(w, writer, "other_nodes")


async def other_class(w: Environment, writer: Writer) -> None:
    """All volumes are to be of another StorageClass."""
    before = await nodes(w)
    await writer.lap()
    with w.report.step("all volumes are to be of another class", "other_class_s"):
        async with another_class(w):
            await etcd.change(w, NAMESPACE, storage={"className": SECOND})
            await moved(w, before)
            claims = await w.kube.list(kinds.PVC, NAMESPACE)
            wrong = [
                c["metadata"]["name"] for c in claims if c["spec"]["storageClassName"] != SECOND
            ]
            if wrong:
                raise AssertionError(f"the volumes {wrong} are not of class {SECOND}")
    await _had_quorum(w, writer, "other_class")


async def nodes(w: Environment) -> dict[str, str]:
    """On which node each member is."""
    members = (await etcd.get(w, NAMESPACE))["status"]["members"]
    return {m["name"]: m["node"] for m in members if m.get("state", "Member") == "Member"}


async def ask(w: Environment, members: str | None) -> None:
    """Sets the annotation that asks members to move, or removes it."""
    note = {"metadata": {"annotations": {ANNOTATION_MOVE: members}}}
    await w.kube.patch(etcd.KIND, etcd.NAME, NAMESPACE, note)


async def moved(w: Environment, members: Collection[str]) -> None:
    """Waits until all is well without these members and nothing is left of them."""
    await w.until(etcd.KIND, NAMESPACE, etcd.NAME, without(*members), 2 * etcd.LONG)
    for member in members:
        await w.gone(kinds.STATEFULSET, NAMESPACE, member, etcd.SOON)
        await w.gone(kinds.PVC, NAMESPACE, member, etcd.SOON)


def without(*members: str) -> etcd.Check:
    """Whether all is well and none of these is a member any more, be there remains of it or not."""

    def check(obj: Manifest) -> bool:
        found = (obj.get("status") or {}).get("members") or ()
        there = {m["name"] for m in found if m.get("state", "Member") != "Left"}
        calm = etcd.settled(obj) and etcd.has_condition(obj, "UpToDate")
        return calm and not there & set(members)

    return check


@asynccontextmanager
async def switched_off(w: Environment, node: str) -> AsyncIterator[None]:
    """A node without power."""
    await w.lab.kill(node)
    try:
        yield
    finally:
        await w.lab.start(node)
        wait = ("wait", f"node/{node}", "--for=condition=Ready", "--timeout=180s")
        await w.lab.kubectl(*wait, timeout=190)


@asynccontextmanager
async def cordoned(w: Environment, node: str) -> AsyncIterator[None]:
    """A node that takes no new pods."""
    await w.lab.kubectl("cordon", node)
    try:
        yield
    finally:
        await w.lab.kubectl("uncordon", node)


@asynccontextmanager
async def labelled(
    w: Environment, on: Collection[str], key: str, value: str
) -> AsyncIterator[None]:
    """Nodes that carry a label."""
    await w.lab.kubectl("label", "--overwrite", "nodes", *on, f"{key}={value}")
    try:
        yield
    finally:
        await w.lab.kubectl("label", "nodes", *on, f"{key}-")


@asynccontextmanager
async def another_class(w: Environment) -> AsyncIterator[None]:
    """A second StorageClass; claims that were made of it do not need it any more."""
    found = await w.lab.kubectl("get", "storageclass", "local-path", "-o", "json")
    usual = json.loads(found)
    kept_fields = ("apiVersion", "kind", "provisioner", "volumeBindingMode", "reclaimPolicy")
    second = {field: usual[field] for field in kept_fields} | {"metadata": {"name": SECOND}}
    await w.apply(second)
    try:
        yield
    finally:
        await w.kube.delete(kinds.STORAGECLASS, SECOND)


async def _had_quorum(w: Environment, writer: Writer, name: str) -> None:
    """Raises `AssertionError` if writes stood still for longer than an election takes."""
    longest = await gap(w, writer, name)
    if longest > STANDSTILL:
        raise AssertionError(f"no write was confirmed for {longest:.1f} s: there was no quorum")
