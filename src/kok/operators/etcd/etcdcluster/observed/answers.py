"""Asks the members of an EtcdCluster, all side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from typing import TypeVar

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.etcdclient.client import DEADLINE, EtcdClient
from kok.etcdclient.model import Credentials, EtcdError, Trouble
from kok.kube import kinds
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.observed.model import Answer, Observed
from kok.operators.etcd.pods import is_ready, pod_address
from kok.pki import CA_CRT, PkiError, decode, leaf_of

T = TypeVar("T")
_PERHAPS_ITS_CLOCK = {Trouble.UNTRUSTED, Trouble.BROKE_OFF}
"""What a member that takes certificates for invalid looks like."""


async def ask_members(
    obj: EtcdCluster, members: Iterable[str], observed: Observed
) -> dict[str, Answer]:
    """Asks all members side by side; one that is silent delays nobody, and the whole by no more
    than the deadline of one question.
    """
    addresses = {
        member: address
        for member in members
        if (address := pod_address(observed.get(kinds.POD, naming.pod_name(member))))
    }
    if not addresses:
        return {}
    try:
        patient, quick = (
            connect(obj, observed),
            connect(obj, observed, deadline=observed.tuning.not_ready_deadline),
        )
    except EtcdError as error:
        return {member: Answer(error=error) for member in addresses}
    async with patient, quick:
        ready = {m: is_ready(observed.get(kinds.POD, naming.pod_name(m))) for m in addresses}
        answers = await asyncio.gather(
            *(
                _ask_ready(patient, address) if ready[member] else _ask_early(quick, address)
                for member, address in addresses.items()
            )
        )
    return dict(zip(addresses, answers, strict=True))


def connect(obj: EtcdCluster, observed: Observed, *, deadline: float = DEADLINE) -> EtcdClient:
    """A client of the members; raises `EtcdError` if there is no certificate to show them."""
    return EtcdClient(_credentials(obj, observed), deadline=deadline)


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


def _credentials(obj: EtcdCluster, observed: Observed) -> Credentials:
    """The clients' certificate serves the operator, too: it is there even if the CA is lost.

    While it is not, the members' own does: they are each other's clients.
    """
    client = names.etcd_client_secret(obj.name)
    for name in (client, naming.server_secret(obj.name)):
        secret = observed.get(kinds.SECRET, name)
        try:
            leaf, ca = leaf_of(secret), decode(secret, CA_CRT)
        except PkiError:
            continue
        if leaf is not None and ca:
            server = naming.client_host(obj.name, obj.namespace)
            return Credentials(ca, leaf.cert_pem, leaf.key_pem, server)
    text = f"cannot be asked, since Secret {client} holds no certificate"
    raise EtcdError(Trouble.UNTRUSTED, text)
