"""Which kinds an API server serves beyond those that everybody knows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kok.api.meta import Kind, Manifest
from kok.kube.errors import NotFound, Unreachable

KINDS: Final = 512
"""Kinds that are remembered; the oldest are asked for again."""
_LONGEST = 253
"""Characters of the name of a kind, and of its group and version."""
VERSIONS: Final = 16
"""Versions of a group in which a kind is looked for."""
_VERSION = re.compile(r"v[a-z0-9]{1,62}")
_PLURAL = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")

Ask = Callable[[str], Awaitable[Any]]
"""The parsed answer to a GET of a path."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What a group and version serves, while it is being asked for."""

    wanted: set[str]
    """Kinds that somebody waits for."""
    answer: asyncio.Task[dict[str, Kind]]


class Discovery:
    """Asks once for a kind of a group and version, and again for one that was not there then.

    Nothing but the kinds that were asked for is kept: how many others there are is for the server
    to say, or for one that is aggregated behind it.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: dict[tuple[str, str], Kind] = {}
        self._asking: dict[str, _Question] = {}

    async def kind_of(self, manifest: Manifest) -> Kind:
        """The kind of a manifest; raises `NotFound` if the API server does not serve it."""
        api, name = str(manifest.get("apiVersion", "")), str(manifest.get("kind", ""))
        found = self._known.get((api, name))
        if found is None and max(len(api), len(name)) <= _LONGEST:
            found = await self._found(api, name)
        if found is None:
            text = f"the API server has no kind {name[:_LONGEST]} in {api[:_LONGEST]}"
            raise NotFound(404, "NotFound", text)
        return found

    async def other_version(self, kind: Kind) -> Kind | None:
        """The same kind in another version that its group is served in, the preferred one first.

        None where there is none. Nothing of it is remembered. Raises `KubeError` for a server, or one
        behind it, that does not answer.
        """
        if not kind.group:
            return None
        for version in await self._versions(kind.group):
            if version == kind.version:
                continue
            try:
                served = await self._answer(f"{kind.group}/{version}", {kind.kind})
            except NotFound:
                continue
            found = served.get(kind.kind)
            if found is not None and found.plural == kind.plural:
                return found
        return None

    async def _versions(self, group: str) -> list[str]:
        try:
            answer = await self._ask(f"/apis/{group}")
        except NotFound:
            return []
        if not isinstance(answer, dict) or not isinstance(answer.get("versions"), list):
            raise Unreachable(f"the API server did not answer with the versions of {group}")
        entries = [answer.get("preferredVersion"), *answer["versions"][:VERSIONS]]
        told = (one.get("version") for one in entries if isinstance(one, dict))
        return list(dict.fromkeys(v for v in told if isinstance(v, str) and _VERSION.fullmatch(v)))

    async def _found(self, api: str, name: str) -> Kind | None:
        """Who asks while others do waits for the same answer."""
        question = self._asking.get(api)
        if question is None:
            wanted: set[str] = set()
            task = asyncio.create_task(self._answer(api, wanted), name=f"kinds of {api}")
            task.add_done_callback(lambda done: self._over(api, done))
            question = self._asking[api] = _Question(wanted, task)
        question.wanted.add(name)
        # Others wait for it, too, when this one is given up.
        found = (await asyncio.shield(question.answer)).get(name)
        if found is not None:
            self._known[api, name] = found
            if len(self._known) > KINDS:
                del self._known[next(iter(self._known))]
        return found

    def _over(self, api: str, done: asyncio.Task[dict[str, Kind]]) -> None:
        del self._asking[api]
        if not done.cancelled():
            done.exception()  # Whoever waits is told; there may be nobody any more.

    async def _answer(self, api: str, wanted: set[str]) -> dict[str, Kind]:
        group, _, version = api.rpartition("/")
        answer = await self._ask(f"/apis/{api}" if group else f"/api/{api}")
        entries = answer.get("resources") or [] if isinstance(answer, dict) else None
        if not isinstance(entries, list):
            raise Unreachable(f"the API server did not answer with the kinds of {api}")
        found = (_kind(group, version, entry, wanted) for entry in entries)
        return {kind.kind: kind for kind in found if kind is not None}


def _kind(group: str, version: str, entry: object, wanted: set[str]) -> Kind | None:
    """The kind of an entry, if it is one that is wanted and of the right shape."""
    if not isinstance(entry, Mapping):
        return None
    kind, plural, namespaced = (entry.get(key) for key in ("kind", "name", "namespaced"))
    # Subresources have names with a slash.
    if not isinstance(kind, str) or not isinstance(plural, str) or kind not in wanted:
        return None
    if not isinstance(namespaced, bool) or not _PLURAL.fullmatch(plural):
        return None
    return Kind(group, version, kind, plural, namespaced)
