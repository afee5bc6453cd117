"""What an upgrade may meet inside a business cluster, in one picture that is kept for moments.

What it answers is data of a tenant: all of it is bounded, and what could not be looked at is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from kok.kube.concurrency import asking
from kok.kube.errors import KubeError
from kok.operators.cluster.businesscluster.deprecated import Counted, Stored, requested, stored
from kok.operators.cluster.businesscluster.webhooks import Webhook, webhooks
from kok.versions import RemovedAPI

if TYPE_CHECKING:
    from kok.operators.cluster.businesscluster.connections import Connection

LOOK_FOR: Final = 30.0
"""Seconds for each question, however many requests it takes."""
KEPT_FOR: Final = 10.0
"""Seconds for which a picture is good enough: passes come as fast as pods of a preflight change."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that could not be looked at."""

    why: str
    """As the rest of a sentence that begins with the API."""


@dataclass(frozen=True, slots=True)
class BusinessLook:
    """Each part, or why nothing is known of it."""

    counted: Counted | Unseen
    stored: tuple[Stored, ...] | Unseen = ()
    webhooks: tuple[Webhook, ...] | Unseen = ()
    servers: int = 1
    """API servers that should have been asked."""


async def look(
    connection: Connection, removed: tuple[RemovedAPI, ...], servers: int, now: float
) -> BusinessLook:
    """What is there now, or was a moment ago; `now` in monotonic seconds. Raises no `KubeError`.

    `servers`: how many API servers there should be.
    """
    asked = (removed, servers)
    if (known := connection.looked) is not None:
        at, before, picture = known
        if before == asked and now - at < KEPT_FOR:
            return picture
    kube = connection.kube
    async with asking() as group:
        counted = group.create_task(_seen(requested(kube, connection.again, servers)))
        written = group.create_task(_seen(stored(kube, removed)))
        hooks = group.create_task(_seen(webhooks(kube)))
    picture = BusinessLook(counted.result(), written.result(), hooks.result(), servers)
    connection.looked = (now, asked, picture)
    return picture


async def _seen(asked: Awaitable[T]) -> T | Unseen:
    """What was found, or why nothing is known."""
    try:
        async with asyncio.timeout(LOOK_FOR):
            return await asked
    except KubeError as error:
        return Unseen(error.told)
    except TimeoutError:
        return Unseen(f"did not answer all of it within {LOOK_FOR:.0f} s")
