"""Reads all that there is of one EtcdCluster into one frozen value: children, then members."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Kind, Manifest
from kok.etcdclient.client import DEADLINE, EtcdClient
from kok.etcdclient.model import Credentials, EtcdError, Listed, MemberStatus, Trouble
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Forbidden
from kok.kube.objects.children import SURPLUS, is_whole
from kok.kube.objects.ownership import owner_labels
from kok.kube.objects.together import asking
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.certificates import trust
from kok.operators.etcd.etcdcluster.children import known, stranger
from kok.operators.etcd.etcdcluster.storage import Storage, ask_storage
from kok.pki import CA_CRT, PkiError, decode, leaf_of
from kok.runtime.pods.admission import refusal

T = TypeVar("T")

NOT_READY_DEADLINE = 1.0
"""Seconds for a question to a member that does not pass its probe.

One that starts takes connections long before it answers, and its first answer is what an operation
waits for: to hang on for longer would only delay the next question.
"""

_PERHAPS_ITS_CLOCK = {Trouble.UNTRUSTED, Trouble.BROKE_OFF}
"""What a member that takes certificates for invalid looks like."""

CHILD_KINDS = (
    kinds.STATEFULSET,
    kinds.POD,
    kinds.PVC,
    kinds.SECRET,
    kinds.CONFIGMAP,
    kinds.SERVICE,
    kinds.PDB,
    kinds.NETWORKPOLICY,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one member answered, or why it did not."""

    status: MemberStatus | None = None
    members: tuple[Listed, ...] | None = None
    """The list that a quorum agrees on; None if this member cannot get one."""
    error: EtcdError | None = None
    """Why there is no status."""
    clock: datetime | None = None
    """What the member's clock showed; looked at only where it may be what is wrong."""
    seconds: float | None = None
    """How long it took to get that list, a consistent read; None if there is none."""


@dataclass(frozen=True)
class World:
    """What was found: children by kind and name, and answers by member name.

    A member whose pod has no address has no answer.
    """

    children: Mapping[tuple[str, str], Manifest] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    storage: Storage = field(default_factory=Storage)
    """What StorageClasses mean for the volumes."""
    worker_image: str = ""
    """KOK's own image, to work on volumes with; empty if nobody named it."""
    nodes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels of the nodes that members run on, where the spec is about them and they can be read."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Why members have no pod, by their names, where the meta cluster refuses it."""
    watched_since: datetime | None = None
    """Since when this process has looked without a gap; None if this is its first look."""

    def get(self, kind: Kind, name: str) -> Manifest | None:
        """One child."""
        return self.children.get((kind.kind, name))

    def all(self, kind: Kind) -> list[Manifest]:
        """All children of a kind, sorted by name."""
        return [m for (of, _), m in sorted(self.children.items()) if of == kind.kind]

    @property
    def secrets(self) -> dict[str, Manifest]:
        """All Secrets by name."""
        return {m["metadata"]["name"]: m for m in self.all(kinds.SECRET)}


async def observe(
    obj: EtcdCluster,
    members: Iterable[str],
    kube: Kube,
    worker_image: str = "",
    *,
    isolated: bool = False,
) -> World:
    """Everything, in three rounds of parallel questions. Raises `KubeError` only.

    `members` are the names of the members that there are or will be; `isolated` as for
    `read_children`.
    """
    children = await read_children(obj, members, kube, isolated=isolated)
    world = World(children)
    async with asking() as group:
        ask = group.create_task
        answers = ask(ask_members(obj, members, world))
        storage = ask(ask_storage(obj, world.all(kinds.PVC), kube))
        nodes = ask(_nodes(obj, kube, world))
        refused = ask(_refusals(obj, kube, world))
    return World(
        children,
        answers.result(),
        storage.result(),
        worker_image,
        nodes.result(),
        refused.result(),
    )


async def read_children(
    obj: EtcdCluster,
    members: Iterable[str],
    kube: Kube,
    *,
    isolated: bool = False,
    most: int = SURPLUS,
) -> dict[tuple[str, str], Manifest]:
    """All children by label, and whatever else has a name that a child is to have.

    `isolated` tells whether NetworkPolicies are among the latter; `most`, how many without such a
    name are looked at of each kind, and of them no more than whose they are.
    """
    labels, members = owner_labels(obj), tuple(members)
    named = expected(obj, members)
    keeps = {kind: known(kind, obj, named, most) for kind in CHILD_KINDS}
    async with asking() as group:
        found = [
            group.create_task(kube.list(kind, obj.namespace, labels=labels, keep=keep))
            for kind, keep in keeps.items()
        ]
    children = {
        (kind.kind, str(item["metadata"]["name"])): item
        for kind, items in zip(CHILD_KINDS, found, strict=True)
        for item in items.result()
        if item
    }
    missing = [
        (kind, name)
        for kind, name in named
        if (kind.kind, name) not in children and (isolated or kind != kinds.NETWORKPOLICY)
    ]
    async with asking() as group:
        others = [
            group.create_task(kube.get(kind, name, obj.namespace, keep=stranger(kind, obj)))
            for kind, name in missing
        ]
    for (kind, name), one in zip(missing, others, strict=True):
        if (other := one.result()) is not None:
            children[kind.kind, name] = other
    return children


def expected(obj: EtcdCluster, members: Iterable[str]) -> list[tuple[Kind, str]]:
    """Kind and name of every child that we make."""
    next_ca = [naming.next_ca_secret(obj.name)] if trust.under_way(obj.status) else []
    return [
        *((kinds.SECRET, name) for name in (names.etcd_ca_secret(obj.name), *next_ca)),
        *((kinds.SECRET, name) for name in naming.leaf_secrets(obj.name)),
        (kinds.CONFIGMAP, naming.start_map(obj.name)),
        (kinds.SERVICE, naming.peer_service(obj.name)),
        (kinds.SERVICE, names.etcd_client_service(obj.name)),
        (kinds.PDB, obj.name),
        (kinds.NETWORKPOLICY, obj.name),
        (kinds.NETWORKPOLICY, naming.workers_policy(obj.name)),
        *((kind, name) for name in members for kind in (kinds.PVC, kinds.STATEFULSET)),
    ]


async def ask_members(obj: EtcdCluster, members: Iterable[str], world: World) -> dict[str, Answer]:
    """Asks all members side by side; one that is silent delays nobody, and the whole by no more
    than the deadline of one question.
    """
    addresses = {
        member: address
        for member in members
        if (address := pod_address(world.get(kinds.POD, naming.pod_name(member))))
    }
    if not addresses:
        return {}
    try:
        patient, quick = connect(obj, world), connect(obj, world, deadline=NOT_READY_DEADLINE)
    except EtcdError as error:
        return {member: Answer(error=error) for member in addresses}
    async with patient, quick:
        ready = {m: is_ready(world.get(kinds.POD, naming.pod_name(m))) for m in addresses}
        answers = await asyncio.gather(
            *(
                _ask_ready(patient, address) if ready[member] else _ask_early(quick, address)
                for member, address in addresses.items()
            )
        )
    return dict(zip(addresses, answers, strict=True))


def connect(obj: EtcdCluster, world: World, *, deadline: float = DEADLINE) -> EtcdClient:
    """A client of the members; raises `EtcdError` if there is no certificate to show them."""
    return EtcdClient(_credentials(obj, world), deadline=deadline)


async def _ask(client: EtcdClient, address: str) -> Answer:
    """What the member at an address of a pod answers."""
    endpoint = naming.pod_endpoint(address)
    (status, _), (members, seconds) = await asyncio.gather(
        _timed(client.status(endpoint)), _timed(client.members(endpoint))
    )
    return Answer(
        None if isinstance(status, EtcdError) else status,
        None if isinstance(members, EtcdError) else members,
        status if isinstance(status, EtcdError) else None,
        seconds=None if isinstance(members, EtcdError) else seconds,
    )


async def _ask_ready(client: EtcdClient, address: str) -> Answer:
    """A member that passes its probe; its clock only if it answers as by a wrong one."""
    found = await _ask(client, address)
    if found.error is None or found.error.trouble not in _PERHAPS_ITS_CLOCK:
        return found
    return replace(found, clock=await client.clock(naming.metrics_endpoint(address)))


async def _ask_early(client: EtcdClient, address: str) -> Answer:
    """A member that does not pass its probe; its clock at the same time.

    etcd keeps clients waiting until it has met its peers, whom by a wrong clock it never trusts: it
    answers nothing at all.
    """
    found, clock = await asyncio.gather(
        _ask(client, address), client.clock(naming.metrics_endpoint(address))
    )
    return replace(found, clock=clock)


async def _timed(question: Awaitable[T]) -> tuple[T | EtcdError, float]:
    """The answer, or why there is none, and the seconds that it took."""
    clock = asyncio.get_running_loop().time
    begin = clock()
    try:
        answer: T | EtcdError = await question
    except EtcdError as error:
        answer = error
    return answer, clock() - begin


def _credentials(obj: EtcdCluster, world: World) -> Credentials:
    """The clients' certificate serves the operator, too: it is there even if the CA is lost.

    While it is not, the members' own does: they are each other's clients.
    """
    client = names.etcd_client_secret(obj.name)
    for name in (client, naming.server_secret(obj.name)):
        secret = world.get(kinds.SECRET, name)
        try:
            leaf, ca = leaf_of(secret), decode(secret, CA_CRT)
        except PkiError:
            continue
        if leaf is not None and ca:
            server = naming.client_host(obj.name, obj.namespace)
            return Credentials(ca, leaf.cert_pem, leaf.key_pem, server)
    text = f"cannot be asked, since Secret {client} holds no certificate"
    raise EtcdError(Trouble.UNTRUSTED, text)


def is_ready(pod: Manifest | None) -> bool:
    """Whether the pod passes its readiness probe and is not on its way out."""
    if pod is None or pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def pod_address(pod: Manifest | None) -> str | None:
    """The address of a pod that may answer."""
    if pod is None:
        return None
    status = pod.get("status") or {}
    if status.get("phase") not in {"Pending", "Running"}:
        return None
    return str(status["podIP"]) if status.get("podIP") else None


async def _refusals(obj: EtcdCluster, kube: Kube, world: World) -> dict[str, str]:
    """Looked up only where a member should have a pod and has none."""
    made_by = obj.metadata.labels.get(names.LABEL_CLUSTER)
    field = f"spec.etcd.resources of Cluster {made_by}" if made_by else "spec.resources"
    lone = [
        one
        for one in world.all(kinds.STATEFULSET)
        if is_whole(one) and world.get(kinds.POD, naming.pod_name(one["metadata"]["name"])) is None
    ]
    async with asking() as group:
        found = [group.create_task(refusal(kube, one, field)) for one in lone]
    return {
        one["metadata"]["name"]: why
        for one, told in zip(lone, found, strict=True)
        if (why := told.result())
    }


async def _nodes(obj: EtcdCluster, kube: Kube, world: World) -> dict[str, dict[str, str]]:
    """Looked up only where the spec is about nodes."""
    placement = obj.spec.placement
    if not placement.node_selector and not placement.require_spread:
        return {}
    on = {
        str(name)
        for pod in world.all(kinds.POD)
        if (name := (pod.get("spec") or {}).get("nodeName")) is not None
    }
    try:
        found = await asyncio.gather(*(kube.get(kinds.NODE, name) for name in sorted(on)))
    except Forbidden:
        # An operator that may see only its namespaces cannot know.
        return {}
    return {n["metadata"]["name"]: n["metadata"].get("labels") or {} for n in found if n}
