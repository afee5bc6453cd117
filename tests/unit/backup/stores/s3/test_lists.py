"""Lists of an S3 bucket are read to their end, if they have one."""

from __future__ import annotations

import pytest
from aiohttp import web
from tests.unit.backup.stores.s3.bucket import bucket

from kok.backup.commands import catalog
from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason


async def test_lists_are_read_to_their_end() -> None:
    async def answer(request: web.Request) -> web.Response:
        token = request.query.get("continuation-token", "")
        more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        return web.Response(
            text=f"<ListBucketResult>{'' if token else more}<Contents><Key>p/{token or 'first'}"
            "</Key><Size>1</Size></Contents></ListBucketResult>"
        )

    async with bucket(answer, prefix="p") as store:
        assert [e.key async for e in store.entries("")] == ["first", "t"]


async def test_a_list_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kok.backup.stores.s3.store._PAGES", 5)
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        return web.Response(text=f"<ListBucketResult>{more}</ListBucketResult>")

    async with bucket(answer, prefix="p") as store:
        with pytest.raises(WorkerError, match="its list does not end"):
            _ = [e async for e in store.entries("")]
    assert asked == 5


@pytest.mark.parametrize("suffix", [".snapshot", ".snapshot.json"])
async def test_of_a_list_without_end_no_more_is_held_than_anybody_has(suffix: str) -> None:
    """A page takes far fewer bytes than its list would."""
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        long = f"<Contents><Key>{'x' * 10_000}{suffix}</Key></Contents>"
        each = (f"<Contents><Key>{asked}-{i}{suffix}</Key></Contents>" for i in range(1000))
        return web.Response(
            text=f"<ListBucketResult>{more}{long}{''.join(each)}</ListBucketResult>"
        )

    async with bucket(answer) as store:
        with pytest.raises(WorkerError, match=r"s3://b/.* holds more than 20000 backups") as raised:
            await catalog.names(store, "team-a/shop")
    assert raised.value.reason is Reason.STORE_REFUSED
    assert asked == 21
