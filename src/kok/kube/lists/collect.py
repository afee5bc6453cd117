"""All objects of a list, of which no more is held than its limits allow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing

from kok.api.meta import Kind, Manifest
from kok.kube.budget.cpu_shares import NAMESPACE, STRETCH, shares
from kok.kube.budget.cpu_time import cpu_seconds
from kok.kube.budget.limits import memory_of
from kok.kube.budget.pass_memory import PassMemory, PassMemoryExceeded
from kok.kube.errors import KubeError
from kok.kube.http.paths import object_path
from kok.kube.http.transport import Transport
from kok.kube.lists.pages import BARE, pages


async def collected(
    transport: Transport,
    kind: Kind,
    namespace: str | None,
    query: Mapping[str, str],
    keep: Callable[[Manifest], Manifest | None] | None,
    *,
    most: int | None,
    bare: bool,
    refuse: Callable[[Manifest], None],
    memory: PassMemory | None = None,
) -> list[Manifest]:
    """The objects of all pages, as `kok.kube.client.Kube.list` describes them.

    `refuse` raises for an object that is not wanted as it came. Raises `TooLarge` as soon as what
    is kept is more than the limits allow; `memory` is told of it, and may raise as well.
    """
    path = object_path(kind, namespace)
    # Items of a list come without what every object alone has.
    what = {"apiVersion": kind.api_version, "kind": kind.kind}
    found: list[Manifest] = []
    weight = 0
    try:
        async with aclosing(pages(transport, path, query, BARE if bare else None)) as all_pages:
            async for page in all_pages:
                whole = [{**what, **item} for item in page.items]
                for item in whole:
                    refuse(item)
                kept = whole if keep is None else await _kept(whole, keep)
                more = page.weight if keep is None else sum(map(memory_of, kept))
                weight += more
                transport.listed += more
                if transport.too_much(weight, everywhere=namespace is None):
                    raise transport.too_large(f"a list of {len(found)} objects and more")
                if memory is not None:
                    _hold(memory, kind, kept, None if keep is not None else page.weight)
                found.extend(kept)
                del page, whole, kept
                if most is not None and len(found) >= most:
                    break
    except (KubeError, PassMemoryExceeded):
        # Its traceback holds this frame for as long as somebody looks at the error.
        found.clear()
        raise
    finally:
        transport.listed -= weight
    return found[:most]


async def _kept(
    whole: list[Manifest], keep: Callable[[Manifest], Manifest | None]
) -> list[Manifest]:
    """What is made of each object; others have their turn in between, and it is paid for."""
    kept: list[Manifest] = []
    begun = cpu_seconds()
    for item in whole:
        if (part := keep(item)) is not None:
            kept.append(part)
        spent = cpu_seconds() - begun
        if spent > STRETCH:
            if namespace := NAMESPACE.get():
                # In so many steps, none of which is long enough to be counted by itself.
                shares().owe(namespace, spent)
            await asyncio.sleep(0)
            begun = cpu_seconds()
    return kept


def _hold(memory: PassMemory, kind: Kind, kept: list[Manifest], weight: int | None) -> None:
    """Tells of a page; `weight` is what is known of it as a whole."""
    if weight is None:
        memory.take(kept, kind.kind)
    elif kept:
        memory.add(weight, f"{kind.plural} such as {kept[0]['metadata']['name']}")
