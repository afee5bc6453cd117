"""Which SHA-256 a file must have: from a ConfigMap of the user's, or as published beside it.

What is published counts only if it comes over HTTPS from a server that proves who it is: whoever
can alter a file on its way over plain HTTP can alter its sum as well.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

import aiohttp

from kok.kube.http import inbound
from kok.operators.machine import reasons
from kok.operators.machine.component.catalog import Source
from kok.runtime.redact import redact_text

KEY = "SHA256SUMS"
_LINE = re.compile(r"^([0-9a-fA-F]{64})(?:[ \t]+[*]?(\S+))?\s*$")
_TIMEOUT = 15.0
_LIMIT = 2**20
_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_INSTEAD = f'name a ConfigMap with the sums (key "{KEY}") in artifacts.checksums'


class ChecksumError(Exception):
    """No sum, or none that can be used; reason and sentence for a condition."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = redact_text(message)  # An address may hold a password.
        super().__init__(self.message)


def parse_list(text: str) -> dict[str, str]:
    """Sums by path, from lines as sha256sum prints them."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match and match.group(2):
            found[match.group(2).removeprefix("./")] = match.group(1).lower()
    return found


def parse_published(text: str, path: str) -> str | None:
    """The sum of one file from what is published beside it: the bare sum, or a list with names."""
    base = path.rsplit("/", 1)[-1]
    alone: str | None = None
    for line in text.splitlines():
        match = _LINE.match(line)
        if not match:
            continue
        if match.group(2) and match.group(2).rsplit("/", 1)[-1] == base:
            return match.group(1).lower()
        if not match.group(2):
            alone = alone or match.group(1).lower()
    return alone


def from_config_map(
    name: str, data: Mapping[str, str] | None, sources: Iterable[Source]
) -> dict[str, str]:
    """The sums of those files that the ConfigMap lists. Raises `ChecksumError`."""
    if data is None:
        raise ChecksumError(
            reasons.CHECKSUMS_MISSING,
            f'ConfigMap {name} does not exist; create it with key "{KEY}" and lines of "sum  path"',
        )
    if not data.get(KEY):
        raise ChecksumError(
            reasons.CHECKSUMS_MISSING,
            f'ConfigMap {name} has no key "{KEY}"; add it with lines of "sum  path"',
        )
    listed = parse_list(data[KEY])
    wanted = list(sources)
    found = {s.path: listed[s.path] for s in wanted if s.path in listed}
    _complete(found, wanted, f'key "{KEY}" of ConfigMap {name} has no line')
    return found


async def published(
    session: aiohttp.ClientSession, sources: Sequence[Source], base_url: str, ca: str = ""
) -> dict[str, str]:
    """The sums published beside the files, fetched side by side. Raises `ChecksumError`.

    `ca` is the PEM of the CA that the server's certificate must be of; one of the system's if
    empty. A file that is definitely not there (404) is left out, as long as one architecture is
    complete.
    """
    trust = _trust(ca)
    results = await asyncio.gather(*(_one(session, s, base_url, trust) for s in sources))
    found = {s.path: value for s, value in zip(sources, results, strict=True) if value}
    where = base_url or "the publishers' own addresses"
    _complete(found, sources, f"{where} publishes no SHA-256")
    return found


@lru_cache(maxsize=32)
def _trust(ca: str) -> ssl.SSLContext:
    try:
        return inbound.with_bounded_handshake(
            ssl.create_default_context(cadata=ca or None), curve=None
        )
    except (ssl.SSLError, ValueError) as error:
        raise ChecksumError(
            reasons.CHECKSUMS_UNTRUSTED,
            "artifacts.ca holds no certificates; write them as PEM, with the lines BEGIN and END "
            "CERTIFICATE",
        ) from error


async def _one(
    session: aiohttp.ClientSession, source: Source, base_url: str, trust: ssl.SSLContext
) -> str | None:
    url = f"{base_url.rstrip('/')}/{source.path}.sha256" if base_url else source.sums
    if not url:
        return None  # Its publisher has none.
    # Upstream's own addresses lead on to where the files are kept at present. A user's server has
    # no reason to, and might lead to where only the operator can go.
    text = await _text(session, url, trust, follow=0 if base_url else _REDIRECTS)
    if text is None:
        return None
    digest = parse_published(text, source.path)
    if digest is None:
        raise ChecksumError(
            reasons.CHECKSUMS_UNREACHABLE,
            f"{url} holds no SHA-256 of {source.path}; correct it, or {_INSTEAD}",
        )
    return digest


async def _text(
    session: aiohttp.ClientSession, url: str, trust: ssl.SSLContext, *, follow: int
) -> str | None:
    """What lies at an address; None if nothing does."""
    if urlsplit(url).scheme != "https":
        raise ChecksumError(
            reasons.CHECKSUMS_UNTRUSTED,
            f"SHA-256 sums from {url} would prove nothing, since plain HTTP can be altered on its "
            f"way; {_INSTEAD}, or give an https:// address in artifacts.baseURL",
        )
    await inbound.rest()
    try:
        limit = aiohttp.ClientTimeout(total=_TIMEOUT)
        async with session.get(url, timeout=limit, ssl=trust, allow_redirects=False) as answer:
            if answer.status in (403, 404, 410):
                return None
            if follow and answer.status in _MOVED and "Location" in answer.headers:
                onward = urljoin(url, answer.headers["Location"])
            elif answer.status != 200:
                raise ChecksumError(
                    reasons.CHECKSUMS_UNREACHABLE,
                    f"{url} answers with status {answer.status}; correct artifacts.baseURL, or "
                    f"{_INSTEAD}",
                )
            else:
                return (await _beginning(answer.content)).decode("utf-8", "replace")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        # What aiohttp says of a connection holds an address in memory, another one each time.
        said = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        raise ChecksumError(
            reasons.CHECKSUMS_UNREACHABLE,
            f"{url} cannot be fetched by the operator: {said or 'it does not answer'}; correct "
            f"artifacts.baseURL or artifacts.ca, or {_INSTEAD}",
        ) from error
    return await _text(session, onward, trust, follow=follow - 1)


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    """All of it, however many pieces it comes in; no more than a list of sums may have."""
    raw = bytearray()
    async for piece in content.iter_any():
        raw += piece
        if len(raw) >= _LIMIT:
            break
    return bytes(raw[:_LIMIT])


def _complete(found: Mapping[str, str], sources: Sequence[Source], without: str) -> None:
    """At least one architecture must have all its files."""
    by_arch: dict[str, list[str]] = {}
    for source in sources:
        by_arch.setdefault(source.arch, []).append(source.path)
    if not by_arch or any(all(p in found for p in paths) for paths in by_arch.values()):
        return
    missing = next(p for paths in by_arch.values() for p in paths if p not in found)
    raise ChecksumError(
        reasons.CHECKSUMS_MISSING,
        f"{without} for {missing}; correct the version or artifacts, or add the sum",
    )
