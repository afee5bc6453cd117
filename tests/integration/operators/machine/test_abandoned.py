"""The list of abandoned hosts on a real API server, which bounds what a ConfigMap holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kok.api.machine.host import AbandonedHost
from kok.api.names import ABANDONED_HOSTS
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.machine.host.abandoned_hosts import MOST, Abandoned, text_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LONGEST = "n" * 253


def left(number: int, text: str, namespace: str = "n" * 63) -> AbandonedHost:
    """An entry as large as a tenant can make it."""
    return AbandonedHost(
        namespace=namespace,
        machine=LONGEST,
        kubenode=LONGEST,
        cluster=LONGEST,
        address=LONGEST,
        port=65535,
        since=NOW + timedelta(seconds=number),
        why=text,
        left=text,
    )


async def fill(kube: Kube, namespace: str, data: dict[str, str]) -> None:
    """Makes the list with entries that are there already; not at once, which is a large request."""
    meta = {"name": ABANDONED_HOSTS, "namespace": namespace}
    await kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    entries = sorted(data.items())
    for at in range(0, len(entries), MOST // 8):
        some = dict(entries[at : at + MOST // 8])
        await kube.patch(kinds.CONFIGMAP, ABANDONED_HOSTS, namespace, {"data": some})


@pytest.mark.parametrize("one", ["\U0001f600", "\x1b", '"', "\\", "\x00", "\u202e", "x"])
async def test_a_list_full_of_any_text_takes_one_more(kube: Kube, namespace: str, one: str) -> None:
    data = {f"uid-{n:0>59}": text_of(left(n, one * 5000)) for n in range(MOST)}
    await fill(kube, namespace, data)
    listed = Abandoned()
    await listed.load(kube, namespace)
    await listed.add(kube, "uid-new", left(MOST, one * 5000, "team-b"))
    found = await kube.get(kinds.CONFIGMAP, ABANDONED_HOSTS, namespace)
    assert found is not None
    assert len(found["data"]) == MOST
    assert "uid-new" in found["data"]


async def test_a_list_that_somebody_has_filled_holds_up_no_machine(
    kube: Kube, namespace: str
) -> None:
    await fill(kube, namespace, {f"odd-{n}": "x" * (2**15 - 20) for n in range(32)})
    listed = Abandoned()
    await listed.load(kube, namespace)
    await listed.add(kube, "uid-new", left(0, "why"))
    assert "uid-new" in listed.known
