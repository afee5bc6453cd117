"""Objects as large as etcd takes, of a kind that becomes six times as large as JSON."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.runtime.conftest import LIMIT

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.budget.limits import META
from kok.kube.client import Kube
from kok.kube.http.access import from_kubeconfig
from kok.kube.http.session import new_session
from kok.runtime.kopf.partial_objects import PartialObjects, PartialResponse

# What an operator writes is never that large.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")

STORED = 1_450_000
"""Bytes, of 1.5 MiB that etcd takes."""


def large(name: str, namespace: str) -> Manifest:
    """A Job that never runs, full of signs of which Go makes six."""
    container = {"name": "c", "image": "x", "env": [{"name": "A", "value": "<" * STORED}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "suspend": True,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


def value(job: Manifest) -> str:
    return str(job["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"])


async def test_it_is_read_listed_and_followed(
    api_server: ApiServer, kube: Kube, namespace: str
) -> None:
    await asyncio.gather(*(kube.create(large(name, namespace)) for name in "abc"))
    assert len(json.dumps(value(large("a", "")).replace("<", "\\u003c"))) > META.answer, "as JSON"

    one = await kube.get(kinds.JOB, "a", namespace)
    listed = await kube.list(kinds.JOB, namespace)
    assert one is not None
    assert [one["metadata"]["name"] for one in listed] == ["a", "b", "c"]
    assert {value(job) for job in (one, *listed)} == {"<" * STORED}

    told: list[str] = []
    async with asyncio.timeout(LIMIT), aclosing(kube.watch(kinds.JOB, namespace)) as events:
        async for event in events:
            if event.type == "SYNCED":
                await kube.patch(kinds.JOB, "b", namespace, {"metadata": {"labels": {"x": "y"}}})
            elif event.type == "MODIFIED":
                told.append(event.object["metadata"]["name"])
                break
    assert told == ["b"]


async def test_kopf_lists_it_as_well(api_server: ApiServer, kube: Kube, namespace: str) -> None:
    await asyncio.gather(*(kube.create(large(name, namespace)) for name in "ab"))
    access = from_kubeconfig(api_server.kubeconfig())
    url: str | None = f"{access.server}/apis/batch/v1/namespaces/{namespace}/jobs?limit=50"
    session = new_session(access, response_class=PartialResponse, middlewares=(PartialObjects(()),))
    found: list[str] = []
    async with session, asyncio.timeout(LIMIT):
        while url is not None:
            async with session.get(url) as answer:
                page = await answer.json()
            found += (job["metadata"]["name"] for job in page["items"])
            more = page["metadata"].get("continue")
            url = f"{url.partition('&')[0]}&continue={more}" if more else None
    assert found == ["a", "b"]
