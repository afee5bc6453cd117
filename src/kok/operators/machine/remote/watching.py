"""Watching a host: a script over its connection that tells at once what ends, hangs or changes there.

It runs for some minutes, then it is begun anew. There is nothing of it on the host but that, so that
nothing has to be installed, kept and taken away, and what it tells is only the reason for a look.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import structlog

from kok.operators.machine.remote import shell
from kok.operators.machine.remote.ssh import Connection
from kok.runtime.pods.messages import last_error_line

_log = structlog.stdlib.get_logger("kok.machine")

SECONDS, ONCE = 300, 0
"""For how long the script watches, and where nothing else could be asked of the host meanwhile."""
TICK, HEALTH = 5, 8
"""Seconds between two looks at services that nothing was heard of, and between two checks of health."""
GRACE = 4.0
"""Seconds in which a service that has ended may be started again by the manager."""
AGAIN = 5.0
"""Seconds at least from the beginning of a watch until it is begun anew."""
_MARGIN = 60.0
_NAME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.@]{0,62}")
_HEALTH = frozenset({"ok", "bad", "wait"})
_STATES = frozenset({"ok", "starting", "stopping", "restarting", "looping", "down"})
_MOST = 64
"""Services and components that are remembered of a host: it may tell of any."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What to watch on a host."""

    services: tuple[str, ...] = ()
    health: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict, repr=False)
    """By component: the script that finds out, and the services that have to be up before it may."""
    paths: tuple[str, ...] = ()
    """Files that must stay as they are."""

    @property
    def digest(self) -> str:
        """The same for the same things to be watched."""
        made_of = repr((self.services, sorted(self.health.items()), self.paths))
        return hashlib.sha256(made_of.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that a host tells, and since when, in monotonic seconds."""

    word: str
    since: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """What was told of a host since the watch began."""

    digest: str
    """Of what is watched."""
    services: Mapping[str, Told] = field(default_factory=dict)
    health: Mapping[str, Told] = field(default_factory=dict)
    """By component: `ok` or `bad`."""
    full: str = ""
    """Where there is no room on the disk."""
    rounds: int = 0
    """How often all was looked at; before the first time nothing is known."""
    changes: int = 0
    """How often files changed."""


def script(watch: Watch, *, seconds: int = SECONDS) -> str:
    """The script."""
    return shell.compose(
        {"KOK_SECONDS": str(seconds), "KOK_TICK": str(TICK), "KOK_HEALTH": str(HEALTH)},
        shell.library("watch"),
        *(shell.call("unit", name) for name in watch.services),
        *(
            shell.feed("check", name, *units, content=text)
            for name, (text, units) in sorted(watch.health.items())
        ),
        shell.lines("paths", content=watch.paths) if watch.paths else "",
        "watch\n",
    )


def take(known: Watched, line: str, now: float) -> Watched:
    """What is known after one more line."""
    kind, _, rest = line.partition(" ")
    name, _, what = rest.partition(" ")
    if kind == "alive":
        return replace(known, rounds=known.rounds + 1)
    if kind == "changed":
        return replace(known, changes=known.changes + 1)
    word, _, detail = what.partition(" ")
    if kind == "disk":
        return replace(known, full=detail[:64] if word == "full" else "")
    return _of_service(known, kind, name, what, now) if _NAME.fullmatch(name) else known


def _of_service(known: Watched, kind: str, name: str, what: str, now: float) -> Watched:
    word, _, detail = what.partition(" ")
    if kind == "service" and word in _STATES and _room(known.services, name):
        told = Told(word, _since(known.services.get(name), word, now), detail[:64])
        return replace(known, services={**known.services, name: told})
    if kind == "health" and word in _HEALTH and _room(known.health, name):
        said = last_error_line(shell.decoded(detail))[:512] if word == "bad" else ""
        told = Told(word, _since(known.health.get(name), word, now), said)
        return replace(known, health={**known.health, name: told})
    return known


def _room(known: Mapping[str, Told], name: str) -> bool:
    return name in known or len(known) < _MOST


def _since(before: Told | None, word: str, now: float) -> float:
    """Since when it is so: what is no better than before has been so since then."""
    if before is None or before.word == word:
        return now if before is None else before.since
    return now if word in _GOOD or before.word in _GOOD else before.since


_GOOD = frozenset({"ok", "starting"})


async def follow(
    connection: Connection, watch: Watch, told: Callable[[str], None], *, seconds: int = SECONDS
) -> None:
    """Watches a host once, for so many seconds. Raises `HostError`."""
    await connection.run(script(watch, seconds=seconds), deadline=seconds + _MARGIN, each=told)


class Watching:
    """The watches that go on, by the UIDs of Machines: one for each host, apart from all passes."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, asyncio.Task[None]]] = {}

    def keep(self, uid: str, digest: str, begin: Callable[[], Awaitable[None]]) -> None:
        """Has a host watched; one that watches for something else, or has ended, is begun anew."""
        held = self._held.get(uid)
        if held is not None and held[0] == digest and not held[1].done():
            return
        self.end(uid)
        self._held[uid] = (digest, asyncio.create_task(_work(begin), name="host: watch"))

    def end(self, uid: str) -> None:
        """Nobody watches any more."""
        held = self._held.pop(uid, None)
        if held is not None:
            held[1].cancel()

    def close(self) -> None:
        """All end."""
        for uid in list(self._held):
            self.end(uid)


async def _work(begin: Callable[[], Awaitable[None]]) -> None:
    try:
        await begin()
    except Exception:  # noqa: BLE001 - a defect must not go unseen; the next pass begins anew
        _log.exception("watch failed")
