"""Checksums: lists of users, and what is published beside a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
from aiohttp import web

from kok.operators.machine.components import catalog, checksums
from kok.operators.machine.components.checksums import ChecksumError

SUM, OTHER = "ab" * 32, "cd" * 32
SOURCES = catalog.sources("runc", "1.1.5")
PATH = "runc/v1.1.5/runc.amd64"


def test_a_list_as_sha256sum_prints_it() -> None:
    text = f"{SUM}  a/b\n{OTHER.upper()} *./c d\n# comment\n{OTHER}  c\nrubbish\n"
    assert checksums.parse_list(text) == {"a/b": SUM, "c": OTHER}


@pytest.mark.parametrize(
    "text", [SUM, f"{SUM}\n", f"{SUM}  runc.amd64\n", f"{OTHER}  runc.arm64\n{SUM} *runc.amd64\n"]
)
def test_publishers_write_sums_in_several_ways(text: str) -> None:
    assert checksums.parse_published(text, PATH) == SUM


@pytest.mark.parametrize("text", ["", "<html>404</html>", f"{SUM}  another-file\n"])
def test_what_is_no_sum_of_the_file_is_none(text: str) -> None:
    assert checksums.parse_published(text, PATH) is None


def refused(data: Mapping[str, str] | None) -> str:
    with pytest.raises(ChecksumError) as error:
        checksums.from_config_map("team-a/sums", data, SOURCES)
    assert error.value.reason == "ChecksumsMissing"
    return error.value.message


def test_a_config_map_needs_one_complete_architecture() -> None:
    data = {"SHA256SUMS": f"{SUM}  {PATH}\n"}
    assert checksums.from_config_map("team-a/sums", data, SOURCES) == {PATH: SUM}
    assert refused(None).startswith("ConfigMap team-a/sums does not exist; create it")
    assert refused({}).startswith('ConfigMap team-a/sums has no key "SHA256SUMS"')
    assert refused({"SHA256SUMS": f"{SUM}  else\n"}) == (
        f'key "SHA256SUMS" of ConfigMap team-a/sums has no line for {PATH}; correct the version '
        "or artifacts, or add the sum"
    )


@pytest.fixture
async def published() -> AsyncIterator[dict[str, tuple[int, str]]]:
    """What a server answers by path; `base` holds its address."""
    answers: dict[str, tuple[int, str]] = {}

    async def answer(request: web.Request) -> web.Response:
        status, text = answers.get(request.path, (404, "no"))
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    answers["base"] = (runner.addresses[0][1], "")
    yield answers
    await runner.cleanup()


async def fetch(answers: dict[str, tuple[int, str]]) -> dict[str, str]:
    async with aiohttp.ClientSession() as session:
        base = f"http://127.0.0.1:{answers['base'][0]}"
        return await checksums.published(session, SOURCES, base)


async def test_published_sums_are_fetched(published: dict[str, tuple[int, str]]) -> None:
    published[f"/{PATH}.sha256"] = (200, SUM)
    assert await fetch(published) == {PATH: SUM}


async def test_no_published_sum_is_a_sentence(published: dict[str, tuple[int, str]]) -> None:
    with pytest.raises(ChecksumError, match=r"publishes no SHA-256 for runc/v1.1.5/runc.amd64"):
        await fetch(published)


async def test_a_failing_server_pins_nothing(published: dict[str, tuple[int, str]]) -> None:
    # Half an answer must not make a Component that leaves an architecture out for ever.
    published[f"/{PATH}.sha256"] = (200, SUM)
    published["/runc/v1.1.5/runc.arm64.sha256"] = (503, "later")
    with pytest.raises(ChecksumError, match="answers with status 503"):
        await fetch(published)


async def test_an_unreachable_server_is_named() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ChecksumError, match="cannot be fetched by the operator") as error:
            await asyncio.wait_for(checksums.published(session, SOURCES, "http://127.0.0.1:1"), 60)
    assert error.value.reason == "ChecksumsUnreachable"
