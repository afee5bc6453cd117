"""Knowledge of releases: who is believed, and what stays when a document cannot be used."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import REGISTRY
from tests.unit.fakeapi import FakeApi

from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.operators.cluster import releases
from kok.operators.cluster.releases import DOCUMENT, SIGNATURE, ReleaseSource
from kok.versions.knowledge import KnowledgeError

TEXT = "format: 1\nissued: 2026-11-30T08:00:00Z\n"
KEY = Ed25519PrivateKey.generate()
PATH = "/api/v1/namespaces/kok-system/configmaps/kok-releases"
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()


def signed(text: str, key: Ed25519PrivateKey = KEY) -> str:
    return base64.b64encode(key.sign(text.encode())).decode()


def a_config_map(**data: str) -> Manifest:
    return {"metadata": {"name": "kok-releases", "namespace": "kok-system"}, "data": data}


def test_without_a_key_the_config_map_is_believed() -> None:
    source = ReleaseSource()
    source.take(a_config_map(**{DOCUMENT: TEXT}))
    assert source.now().releases.document is not None
    assert source.now().problem is None


def test_with_a_key_only_what_it_signed_is_believed() -> None:
    source = ReleaseSource(key=PUBLIC)
    assert source.read(TEXT.encode(), signed(TEXT)).document is not None
    other = Ed25519PrivateKey.generate()
    for signature in ("", "no base64!", signed(TEXT, other), signed(TEXT + " ")):
        with pytest.raises(KnowledgeError, match="its signature does not fit"):
            source.read(TEXT.encode(), signature)


def test_what_cannot_be_used_leaves_what_was_known_and_is_told() -> None:
    source = ReleaseSource(key=PUBLIC)
    source.take(a_config_map(**{DOCUMENT: TEXT, SIGNATURE: signed(TEXT)}))
    source.take(a_config_map(**{DOCUMENT: "garbage", SIGNATURE: signed("garbage")}))
    known = source.now()
    assert known.releases.document is not None
    assert known.problem is not None
    assert known.problem.startswith("ConfigMap kok-system/kok-releases, releases.yaml: ")


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ((TEXT,), "in use is what was issued 2026-11-30 08:00 UTC"),
        ((), "in use is no more than this release of KOK knows by itself"),
    ],
    ids=["after a good one", "after a restart"],
)
def test_what_is_in_use_instead_is_told(before: tuple[str, ...], told: str) -> None:
    source = ReleaseSource()
    for text in (*before, "garbage"):
        source.take(a_config_map(**{DOCUMENT: text}))
    assert (source.now().problem or "").endswith(told)
    assert value("kok_releases_unusable", source="configmap") == 1
    issued = source.now().releases.document
    expected = issued.issued.timestamp() if issued is not None else 0
    assert value("kok_releases_issued_timestamp_seconds") == expected
    source.take(a_config_map(**{DOCUMENT: TEXT}))
    assert value("kok_releases_unusable", source="configmap") == 0


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_everybody_is_told_of_what_is_new_and_of_nothing_else() -> None:
    source, told = ReleaseSource(), asyncio.Queue[str | None]()

    async def everybody() -> None:
        told.put_nowait(source.now().problem)

    telling = asyncio.create_task(source.tell(everybody))
    try:
        source.take(a_config_map(**{DOCUMENT: TEXT}))
        async with asyncio.timeout(5):
            assert await told.get() is None
        source.take(a_config_map(**{DOCUMENT: TEXT}))
        source.take(a_config_map(**{DOCUMENT: TEXT, "note": "of no matter"}))
        source.take(a_config_map(**{DOCUMENT: "garbage"}))
        async with asyncio.timeout(5):
            assert await told.get() is not None
        assert told.empty(), "the same once more is nothing new"
    finally:
        telling.cancel()


@asynccontextmanager
async def followed(
    source: ReleaseSource, api: FakeApi, kube: Kube
) -> AsyncIterator[asyncio.Queue[Any]]:
    """Events that are written while it is followed."""
    told = asyncio.Queue[Any]()

    async def written(request: web.Request) -> None:
        told.put_nowait(await request.json())

    api.script("POST", "/events$", written)
    following = asyncio.create_task(source.follow(kube, "kok-system"))
    try:
        yield told
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_an_event_tells_of_what_cannot_be_used(api: FakeApi, kube: Kube) -> None:
    api.put(PATH, with_uid(a_config_map(**{DOCUMENT: "garbage"})))
    async with followed(ReleaseSource(), api, kube) as told:
        async with asyncio.timeout(5):
            event = await told.get()
    assert (event["reason"], event["type"]) == ("ReleasesUnusable", "Warning")
    assert event["regarding"]["kind"] == "ConfigMap"
    assert event["regarding"]["name"] == "kok-releases"
    assert "neither YAML nor JSON" in event["note"] or "no mapping" in event["note"]
    assert "this release of KOK knows by itself" in event["note"]


async def test_an_event_tells_of_what_was_not_fetched(
    api: FakeApi, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ReleaseSource(url="https://example.org/r", key=PUBLIC)
    seen = with_uid(a_config_map(**{DOCUMENT: TEXT, SIGNATURE: signed(TEXT)}))
    api.put(PATH, seen)
    watched = asyncio.Event()
    take = source.take

    def taken(live: Manifest) -> None:
        take(live)
        watched.set()

    async def fails(*_: Any) -> bytes:
        await watched.wait()
        raise KnowledgeError("https://example.org/r answers 502")

    monkeypatch.setattr(source, "take", taken)
    monkeypatch.setattr(releases, "_get", fails)
    async with followed(source, api, kube) as told:
        async with asyncio.timeout(5):
            event = await told.get()
    assert event["reason"] == "ReleasesNotFetched"
    assert "answers 502; in use is what was issued 2026-11-30" in event["note"]


async def test_what_is_fetched_takes_the_place_of_what_somebody_spoilt(
    api: FakeApi, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(_session: Any, url: str, _most: int) -> bytes:
        return signed(TEXT).encode() if url.endswith(".sig") else TEXT.encode()

    monkeypatch.setattr(releases, "_get", found)
    source = ReleaseSource(url="https://example.org/r", key=PUBLIC)
    source.take(a_config_map(**{DOCUMENT: TEXT, SIGNATURE: signed(TEXT)}))
    api.put(PATH, with_uid(a_config_map(**{DOCUMENT: "garbage"})))
    await source.fetch(kube, "kok-system")
    assert api.objects[PATH]["data"][DOCUMENT] == "garbage", "nobody has seen it yet"
    source.take(api.objects[PATH])
    await source.fetch(kube, "kok-system")
    assert api.objects[PATH]["data"] == {DOCUMENT: TEXT, SIGNATURE: signed(TEXT)}


def with_uid(manifest: Manifest) -> Manifest:
    meta = {**manifest["metadata"], "uid": "uid-releases"}
    return {"apiVersion": "v1", "kind": "ConfigMap", **manifest, "metadata": meta}


def test_one_that_is_emptied_takes_back_what_was_known() -> None:
    source = ReleaseSource()
    source.take(a_config_map(**{DOCUMENT: TEXT}))
    source.take(a_config_map())
    assert source.now().releases.document is None


LATER = TEXT.replace("11-30", "12-01")


def test_with_a_key_nobody_brings_back_what_was_known_before() -> None:
    source = ReleaseSource(key=PUBLIC)
    source.take(a_config_map(**{DOCUMENT: LATER, SIGNATURE: signed(LATER)}))
    known = source.now().releases
    for data in ({DOCUMENT: TEXT, SIGNATURE: signed(TEXT)}, {}):
        source.take(a_config_map(**data))
        assert source.now().releases == known
        assert (source.now().problem or "").endswith("issued 2026-12-01 08:00 UTC")
    source.take(a_config_map(**{DOCUMENT: LATER, SIGNATURE: signed(LATER)}))
    assert source.now().problem is None


def test_with_a_key_one_that_is_empty_from_the_beginning_is_no_problem() -> None:
    source = ReleaseSource(key=PUBLIC)
    source.take(a_config_map())
    assert source.now().problem is None


async def test_with_a_key_a_config_map_that_is_deleted_takes_nothing_back(
    api: FakeApi, kube: Kube
) -> None:
    source = ReleaseSource(key=PUBLIC)
    data = {DOCUMENT: TEXT, SIGNATURE: signed(TEXT)}
    api.put(PATH, with_uid(a_config_map(**data)))
    told = asyncio.Queue[str | None]()

    async def everybody() -> None:
        told.put_nowait(source.now().problem)

    async def watched(request: web.Request) -> None:
        if "watch" in request.query:
            asyncio.get_running_loop().call_later(0.1, api.drop, PATH)

    api.script("GET", "configmaps$", watched)
    async with followed(source, api, kube), asyncio.timeout(5):
        telling = asyncio.create_task(source.tell(everybody))
        assert await told.get() is None
        assert "was deleted" in (await told.get() or "")
        telling.cancel()
    assert source.now().releases.document is not None


async def test_what_is_fetched_counts_where_there_is_no_config_map_to_keep_it_in(
    kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(_session: Any, url: str, _most: int) -> bytes:
        return signed(TEXT).encode() if url.endswith(".sig") else TEXT.encode()

    monkeypatch.setattr(releases, "_get", found)
    source = ReleaseSource(url="https://example.org/r", key=PUBLIC)
    with pytest.raises(KnowledgeError, match="no ConfigMap kok-system/kok-releases to keep it in"):
        await source.fetch(kube, "kok-system")
    assert source.now().releases.document is not None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "https://example.org/r"}, "needs KOK_RELEASES_KEY"),
        ({"url": "http://example.org/r", "key": PUBLIC}, "https://"),
        ({"key": "c2hvcnQ="}, "no Ed25519 public key"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ReleaseSource(**settings)  # type: ignore[arg-type]
