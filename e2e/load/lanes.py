"""The lanes: requests of one kind at one rate, each counted as client-go would count it."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from e2e.load.exchange import Answer, Broken, Client, Torn
from e2e.load.tally import MOST_TRIES, Tally, comes_again

NAMESPACE = "kok-load"
AT_ONCE = 40
"""Requests of a lane that may be under way; more are skipped and counted."""
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
CONFIGMAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
APPLIED = "?fieldManager=kok-load&force=true"
NUMBERED = "numbered"
"""The ConfigMap whose numbers are watched."""


class Asker:
    """Asks over and over where a server tells it to, and counts what came of it."""

    def __init__(self, tally: Tally, kind: str, clients: Sequence[Client]) -> None:
        """Requests take turns at the clients."""
        self._tally, self.kind = tally, kind
        self._turns = itertools.cycle(clients)
        self._waiting = 0
        """Requests that a server told to come again, until they do."""

    async def ask(
        self, method: str, path: str, body: object = None, content: str = "application/json"
    ) -> Answer | None:
        """One request; None if it failed."""
        client, sent = next(self._turns), json.dumps(body).encode() if body is not None else None
        begun, count = time.monotonic(), self._tally.of(self.kind)
        for left in reversed(range(MOST_TRIES)):
            try:
                answer = await client.send(method, path, sent, kind=content)
            except Torn as error:
                count.races += error.races
                count.torn += 1
                return None
            except Broken as error:
                count.races += error.races + error.again
                if error.again and left:
                    continue
                self._tally.fail(self.kind, time.monotonic(), str(error))
                return None
            count.races += answer.races
            if not comes_again(answer.status, answer.retry_after):
                break
            count.waited += 1
            self._waiting += 1
            try:
                await asyncio.sleep(answer.retry_after or 0.0)
            finally:
                self._waiting -= 1
        if answer.status >= 300:
            text = f"HTTP {answer.status}: {answer.body[:200].decode(errors='replace')}"
            self._tally.fail(self.kind, time.monotonic(), text)
            return None
        count.times.append(time.monotonic() - begun)
        return answer

    def skip(self) -> None:
        """A request was due, and too many are under way, or wait since a server told them to."""
        count = self._tally.of(self.kind)
        if self._waiting:
            count.held += 1
        else:
            count.skipped += 1


Once = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Lane:
    """Something that is done so many times a second."""

    asker: Asker
    rate: float
    once: Once
    at_once: int = AT_ONCE

    async def run(self) -> None:
        """Goes on until it is cancelled, and then lets what is under way come to its end."""
        under_way: set[asyncio.Task[object]] = set()
        due = time.monotonic()
        try:
            while True:
                due = max(due + 1 / self.rate, time.monotonic() - 1.0)
                await asyncio.sleep(due - time.monotonic())
                if len(under_way) >= self.at_once:
                    self.asker.skip()
                    continue
                task = asyncio.ensure_future(self.once())
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        finally:
            await asyncio.gather(*under_way)


def listing(asker: Asker) -> Once:
    """A list of all pods."""
    return lambda: asker.ask("GET", "/api/v1/pods")


def updating(asker: Asker, name: str) -> Once:
    """A ConfigMap with another value each time."""
    numbers = itertools.count()

    async def once() -> None:
        await asker.ask("PUT", f"{CONFIGMAPS}/{name}", config_map(name, next(numbers)))

    return once


def renewing(asker: Asker, name: str) -> Once:
    """A Lease as leaders renew it: what was read last, with a new time."""
    known: dict[str, object] = {}

    async def once() -> None:
        nonlocal known
        path = f"{LEASES}/{name}"
        if not known:
            found = await asker.ask("GET", path)
        else:
            spec = {"holderIdentity": "kok-load", "leaseDurationSeconds": 15, "renewTime": _now()}
            found = await asker.ask("PUT", path, {**known, "spec": spec})
        # After a failure nobody knows whether it was renewed: it is read again, as leaders do.
        known = json.loads(found.body) if found is not None else {}

    return once


class Numbered:
    """Changes a ConfigMap to one number after the other, each once the one before was confirmed."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self.latest = 0

    async def begin(self) -> None:
        """Goes on from the number that is there."""
        found = await self._asker.ask("GET", f"{CONFIGMAPS}/{NUMBERED}")
        if found is None:
            raise RuntimeError(f"ConfigMap {NAMESPACE}/{NUMBERED} cannot be read")
        self.latest = number_of(json.loads(found.body)) or 0

    async def once(self) -> None:
        """The next number; the same once more if it is unknown whether it arrived, which is no
        change then."""
        patch = {"data": {"n": str(self.latest + 1)}}
        if await self._asker.ask("PATCH", f"{CONFIGMAPS}/{NUMBERED}", patch, MERGE) is not None:
            self.latest += 1


def number_of(config: dict[str, object]) -> int | None:
    """The number in a ConfigMap."""
    data = config.get("data")
    text = data.get("n") if isinstance(data, dict) else None
    return int(text) if isinstance(text, str) else None


def config_map(name: str, number: int) -> dict[str, object]:
    """A ConfigMap with a number."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": {"n": str(number)},
    }


def lease(name: str) -> dict[str, object]:
    """A Lease that nobody has renewed yet."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"holderIdentity": "kok-load"},
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
