"""The same calls over gRPC, for an etcd whose own authentication is on.

Its gateway refuses whoever shows a certificate, since it cannot hand on whose that is; over gRPC
the certificate's common name is the user. Questions come and answers go as the JSON of the gateway,
so that nobody else has to know which way they went. Loaded only when such an etcd is met.

libcurl verifies whatever chain of certificates a server sends, and reads what nobody asked for: each
call is made in a thread, of which one namespace has a few, and what it takes goes to its account.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from weakref import WeakKeyDictionary

from kok.etcdclient import grpc, methods
from kok.etcdclient.answers import refusal, strange
from kok.etcdclient.grpc import Call, CallError, Failure
from kok.etcdclient.model import Credentials, EtcdError, Trouble
from kok.kube.budget.cpu_shares import NAMESPACE, shares
from kok.kube.budget.cpu_time import cpu_seconds
from kok.kube.http import inbound as wire_
from kok.runtime.fairness.slots import FairSlots

THREADS: Final = 16
EACH: Final = 4
"""Calls at a time, and those of one namespace."""
EFFORT: Final = 1.0
"""Seconds of processor time that one may take; an honest one takes some milliseconds."""


class AuthenticatedClient:
    """Members of one cluster, asked as the user of the client certificate."""

    def __init__(self, credentials: Credentials) -> None:
        """Takes the same credentials as the gateway's client."""
        self._tls = grpc.Tls(credentials.ca, credentials.certificate, credentials.key)
        self._name = credentials.server_name

    async def ask(
        self, address: str, path: str, body: Mapping[str, Any], deadline: float
    ) -> dict[str, Any]:
        """The answer in the gateway's JSON, within so many seconds. Raises `EtcdError`."""
        server = grpc.Server(address, self._tls, self._name)
        try:
            call = Call(server, *methods.request(path, body))
            return methods.answer(path, await _answer(call, deadline))
        except CallError as error:
            raise _error(error) from error
        except ValueError as error:
            raise strange() from error


async def _answer(call: Call, deadline: float) -> bytes:
    """The answer, waited for in a thread. Raises `CallError`."""
    loop, namespace, spent = asyncio.get_running_loop(), NAMESPACE.get(), [0.0]

    def work() -> bytes:
        begun = cpu_seconds()
        try:
            return call.whole(deadline, EFFORT)
        finally:
            spent[0] = cpu_seconds() - begun

    async with _slots_of(loop).one(namespace):
        await wire_.rest()
        working = loop.run_in_executor(_threads, work)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            call.stop()
            await asyncio.wait({working})
            raise
        finally:
            if namespace:
                shares().served(namespace, spent[0])


_threads = ThreadPoolExecutor(THREADS, "etcd-user")
_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, FairSlots] = WeakKeyDictionary()


def _slots_of(loop: asyncio.AbstractEventLoop) -> FairSlots:
    found = _slots.get(loop)
    if found is None:
        found = _slots[loop] = FairSlots(THREADS, share=EACH)
    return found


_UNANSWERED = {
    Failure.SILENT: (Trouble.SILENT, "does not answer in time"),
    Failure.UNREACHABLE: (Trouble.NOT_LISTENING, "does not serve clients yet"),
    Failure.UNTRUSTED: (Trouble.UNTRUSTED, "does not agree on TLS with the operator"),
    Failure.BROKE_OFF: (Trouble.BROKE_OFF, "broke the connection off"),
}
# What gRPC itself says in place of etcd.
_OF_GRPC = {grpc.DEADLINE_EXCEEDED: Failure.SILENT, grpc.UNAVAILABLE: Failure.BROKE_OFF}


def _error(error: CallError) -> EtcdError:
    failure, text, code = error.failure, error.text, error.code
    if failure is Failure.REFUSED and not text.startswith(("etcdserver:", "auth:")):
        failure = _OF_GRPC.get(code, failure)
    if failure is Failure.REFUSED:
        return refusal({"message": text, "code": code}, code)
    return EtcdError(*_UNANSWERED[failure]) if failure in _UNANSWERED else strange()
