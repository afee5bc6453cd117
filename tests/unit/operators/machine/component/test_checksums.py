"""Checksums: lists of users, and what is published beside a file."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from kok import pki
from kok.operators.machine.component import catalog, checksums
from kok.operators.machine.component.checksums import ChecksumError

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


CA = pki.new_ca("mirror", datetime.now(UTC))


@dataclass
class Server:
    """An artifact server: what it answers by path (status, text, headers)."""

    base: str = ""
    answers: dict[str, tuple[int, str, dict[str, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def has(self, path: str, text: str, status: int = 200, **headers: str) -> None:
        self.answers[path] = (status, text, headers)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        status, text, headers = self.answers.get(request.path, (404, "no", {}))
        if status != self.IN_PIECES:
            return web.Response(status=status, text=text, headers=headers)
        response = web.StreamResponse()
        await response.prepare(request)
        for line in text.splitlines(keepends=True):
            await response.write(line.encode())
            await asyncio.sleep(0.05)
        return response

    IN_PIECES = 0
    """The status of what is sent line by line."""


@asynccontextmanager
async def serving(trust: ssl.SSLContext | None) -> AsyncIterator[Server]:
    server, app = Server(), web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trust).start()
        scheme = "http" if trust is None else "https"
        server.base = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


@pytest.fixture
async def mirror(tmp_path: Path) -> AsyncIterator[Server]:
    """One that proves who it is, by a CA of its own."""
    spec = pki.LeafSpec("mirror", ip_addresses=["127.0.0.1"], usages=pki.Usage.SERVER)
    leaf = pki.issue(CA, spec, datetime.now(UTC))
    (tmp_path / "crt").write_bytes(leaf.cert_pem)
    (tmp_path / "key").write_bytes(leaf.key_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    async with serving(context) as server:
        yield server


async def fetch(base: str, ca: str = CA.cert_pem.decode()) -> dict[str, str]:
    async with aiohttp.ClientSession() as session:
        return await checksums.published(session, SOURCES, base, ca)


async def test_published_sums_are_fetched(mirror: Server) -> None:
    mirror.has(f"/{PATH}.sha256", SUM)
    assert await fetch(mirror.base) == {PATH: SUM}


async def test_a_list_may_come_in_pieces(mirror: Server) -> None:
    mirror.has(f"/{PATH}.sha256", f"{OTHER}  another\n{SUM}  runc.amd64\n", Server.IN_PIECES)
    assert await fetch(mirror.base) == {PATH: SUM}


async def test_no_published_sum_is_a_sentence(mirror: Server) -> None:
    with pytest.raises(ChecksumError, match=r"publishes no SHA-256 for runc/v1.1.5/runc.amd64"):
        await fetch(mirror.base)


async def test_a_failing_server_pins_nothing(mirror: Server) -> None:
    # Half an answer must not make a Component that leaves an architecture out for ever.
    mirror.has(f"/{PATH}.sha256", SUM)
    mirror.has("/runc/v1.1.5/runc.arm64.sha256", "later", 503)
    with pytest.raises(ChecksumError, match="answers with status 503"):
        await fetch(mirror.base)


async def test_an_unreachable_server_is_named() -> None:
    with pytest.raises(ChecksumError, match="cannot be fetched by the operator") as error:
        async with asyncio.timeout(60):
            await fetch("https://127.0.0.1:1")
    assert error.value.reason == "ChecksumsUnreachable"


async def test_a_server_that_proves_nothing_is_not_believed(mirror: Server) -> None:
    mirror.has(f"/{PATH}.sha256", SUM)
    with pytest.raises(ChecksumError, match="cannot be fetched by the operator"):
        await fetch(mirror.base, ca="")
    assert mirror.asked == []


async def test_sums_over_plain_http_are_not_even_asked_for() -> None:
    async with serving(None) as server:
        server.has(f"/{PATH}.sha256", SUM)
        with pytest.raises(ChecksumError, match="would prove nothing") as error:
            await fetch(server.base)
    assert error.value.reason == "ChecksumsUntrusted"
    assert "name a ConfigMap" in error.value.message
    assert server.asked == []


async def test_a_users_server_leads_the_operator_nowhere_else(mirror: Server) -> None:
    mirror.has(f"/{PATH}.sha256", "", 302, Location="/other")
    mirror.has("/other", SUM)
    with pytest.raises(ChecksumError, match="answers with status 302"):
        await fetch(mirror.base)
    assert "/other" not in mirror.asked


@pytest.mark.parametrize("way", ["within", "plain"])
async def test_upstream_may_lead_on_but_never_to_plain_http(mirror: Server, way: str) -> None:
    async with serving(None) as plain:
        plain.has("/there", SUM)
        mirror.has("/here", "", 302, Location="/there" if way == "within" else plain.base)
        mirror.has("/there", f"{SUM}  runc.amd64")
        source = replace(SOURCES[0], sums=f"{mirror.base}/here")
        async with aiohttp.ClientSession() as session:
            asked = checksums.published(session, [source], "", CA.cert_pem.decode())
            if way == "within":
                assert await asked == {source.path: SUM}
            else:
                with pytest.raises(ChecksumError, match="would prove nothing"):
                    await asked
        assert plain.asked == []


async def test_a_ca_that_is_none_is_told() -> None:
    with pytest.raises(ChecksumError, match=r"artifacts\.ca holds no certificates") as error:
        await fetch("https://127.0.0.1:1", ca="rubbish")
    assert error.value.reason == "ChecksumsUntrusted"


async def test_what_its_publisher_has_no_sums_of_is_told() -> None:
    wanted = catalog.sources("docker", "20.10.24")
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ChecksumError) as told:
            await checksums.published(session, wanted, "")
    assert told.value.reason == "ChecksumsMissing"
    assert "publishes no SHA-256 for docker/linux/static/stable/x86_64/" in told.value.message
