"""The worker's store in S3 by itself: 2 GiB up and down over TLS, without an etcd before it.

Each way is carried out by a process of its own, in turn with the others, against one versitygw on
this machine; `python -m e2e.bench.standalone.store` is such a process. Where obstore is installed in
`.venv` (KOK does not need it) it is measured beside: why there is a client of our own stands in
`docs/developing/decisions.md`, and this is how to look again.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from e2e.bench.figure import Figure, figure
from kok.backup import spec
from kok.backup.commands.progress import peak_memory
from kok.backup.stores.s3.sigv4 import Credentials
from kok.backup.stores.store import Content, Store

SIZE = 2 * 2**30
PIECE = 2**20
"""As large as the blocks that a snapshot comes in."""
ROUNDS = 3
MOST_MEMORY = 100
"""MiB that a worker may take."""
STALL = 60.0
BUCKET, KEY = "bench-store", "shop.snapshot"
HOST = "127.0.0.1"
WHO = Credentials("access", "a secret")
Way = Callable[[spec.S3Store, Path], Coroutine[Any, Any, int]]


@dataclass(frozen=True, slots=True)
class Took:
    """What one process took: seconds, seconds of processor time, and resident bytes at the peak."""

    seconds: float
    processor: float
    memory: int


async def store() -> AsyncIterator[Figure]:
    """The store in S3 by itself: 2 GiB up and down, and what the process takes for it."""
    async with _server() as (given, ca):
        names = [name for name in WAYS if name not in OBSTORE or _has_obstore()]
        taken: dict[str, list[Took]] = {name: [] for name in names}
        for _ in range(ROUNDS):
            for name in names:
                taken[name].append(await _process(name, given, ca))
    for name, many in taken.items():
        rates = [SIZE / took.seconds / 1e6 for took in many]
        yield figure(f"{name}-rate", rates, "MB/s", note=WAYS[name].__doc__ or "")
        costs = [took.processor / (SIZE / 1e9) for took in many]
        yield figure(f"{name}-processor", costs, "s/GB", note="of the worker alone")
        memory = [took.memory / 2**20 for took in many]
        yield figure(f"{name}-memory", memory, "MiB", MOST_MEMORY, note="resident, at the peak")


async def own_up(given: spec.S3Store, ca: Path) -> int:
    """up, in one request"""
    return await _write(given, ca, SIZE)


async def own_parts_up(given: spec.S3Store, ca: Path) -> int:
    """up, in parts of 5 MiB, two at a time"""
    return await _write(given, ca, None)


async def own_down(given: spec.S3Store, ca: Path) -> int:
    """down, in one request"""
    bucket = _bucket(given, ca)
    try:
        size = 0
        async with aclosing(bucket.read(KEY)) as pieces:
            async for piece in pieces:
                size += len(piece)
        return size
    finally:
        await bucket.close()


async def obstore_up(given: spec.S3Store, ca: Path) -> int:
    """obstore: up, in parts of 5 MiB, two at a time"""
    library, bucket = _obstore(given, ca)
    writer = library.open_writer_async(bucket, KEY, buffer_size=5 * 2**20, max_concurrency=2)
    async with writer:
        async for piece in _pieces():
            await writer.write(piece)
    return SIZE


async def obstore_down(given: spec.S3Store, ca: Path) -> int:
    """obstore: down, in one request"""
    library, bucket = _obstore(given, ca)
    size = 0
    got = await library.get_async(bucket, KEY)
    async for piece in got.stream(min_chunk_size=256 * 2**10):
        size += len(piece)
    return size


WAYS: dict[str, Way] = {
    "own-up": own_up,
    "own-parts-up": own_parts_up,
    "own-down": own_down,
    "obstore-up": obstore_up,
    "obstore-down": obstore_down,
}
"""What is measured; those that read take what the one before has written."""
OBSTORE = {"obstore-up", "obstore-down"}


def _has_obstore() -> bool:
    return importlib.util.find_spec("obstore") is not None


def _obstore(given: spec.S3Store, ca: Path) -> tuple[Any, Any]:
    """The library, which may not be there, and its side of the bucket."""
    config = {
        "endpoint": given.endpoint,
        "region": given.region,
        "access_key_id": WHO.access_key,
        "secret_access_key": WHO.secret_key,
        "unsigned_payload": True,
    }
    trust = (ca / spec.S3_CA_FILE).read_bytes()
    options = {"root_certificate": trust, "timeout": "1h", "read_timeout": f"{STALL:.0f}s"}
    made = importlib.import_module("obstore.store").S3Store(
        given.bucket, config=config, client_options=options
    )
    return importlib.import_module("obstore"), made


def _bucket(given: spec.S3Store, ca: Path) -> Store:
    from kok.backup.stores.s3.http import S3Http  # noqa: PLC0415
    from kok.backup.stores.s3.store import BucketStore  # noqa: PLC0415

    return BucketStore(given, S3Http(given, WHO, ca, stall=STALL))


async def _write(given: spec.S3Store, ca: Path, size: int | None) -> int:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Content]:
        yield Content(_pieces(), size)

    bucket = _bucket(given, ca)
    try:
        await bucket.write(KEY, opened)
    finally:
        await bucket.close()
    return SIZE


async def _pieces() -> AsyncIterator[bytes]:
    for number in range(SIZE // PIECE):
        yield bytes([number % 251]) * PIECE


@asynccontextmanager
async def _server() -> AsyncIterator[tuple[spec.S3Store, Path]]:
    """versitygw over TLS under a CA of its own, which lies in the directory."""
    # Here as elsewhere in this module: a process that is measured imports what it needs alone.
    from e2e.bench.bare.control_plane import free_port  # noqa: PLC0415
    from e2e.lab.machine.commands import run  # noqa: PLC0415

    found = await run(sys.executable, "-m", "e2e.lab", "binary", "versitygw")
    with tempfile.TemporaryDirectory(prefix="kok-store-") as folder:
        home = Path(folder)
        root, (certificate, key) = home / "root", _certificate(home)
        (root / BUCKET).mkdir(parents=True)
        port = free_port()
        command = [
            *(found.strip().splitlines()[-1], "--port", f"{HOST}:{port}", "--region", "here-1"),
            *("--keep-alive", "--quiet", "--cert", str(certificate), "--key", str(key)),
            *("posix", str(root)),
        ]
        with (home / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                env={
                    "ROOT_ACCESS_KEY_ID": WHO.access_key,
                    "ROOT_SECRET_ACCESS_KEY": WHO.secret_key,
                },
                stdout=log,
                stderr=log,
            )
        try:
            await _listening(port)
            yield (
                spec.S3Store(
                    endpoint=f"https://{HOST}:{port}",
                    region="here-1",
                    bucket=BUCKET,
                    custom_ca=True,
                ),
                home,
            )
        finally:
            process.kill()
            await process.wait()


def _certificate(home: Path) -> tuple[Path, Path]:
    import trustme  # noqa: PLC0415

    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    authority.cert_pem.write_to_path(home / spec.S3_CA_FILE)
    issued = authority.issue_cert(HOST)
    certificate, key = home / "tls.crt", home / "tls.key"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    return certificate, key


async def _listening(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def _process(name: str, given: spec.S3Store, ca: Path) -> Took:
    from e2e.lab.machine.commands import run  # noqa: PLC0415

    spelled = given.model_dump_json()
    said = await run(sys.executable, "-m", "e2e.bench.standalone.store", name, spelled, ca)
    return Took(**json.loads(said.strip().splitlines()[-1]))


def main(argv: list[str]) -> int:
    """One way, in this process; prints what it took as JSON."""
    name, given, ca = argv
    began, begin = time.process_time(), time.monotonic()
    size = asyncio.run(WAYS[name](spec.S3Store.model_validate_json(given), Path(ca)))
    if size != SIZE:
        raise AssertionError(f"{size} bytes are not all of them")
    took = Took(time.monotonic() - begin, time.process_time() - began, peak_memory())
    sys.stdout.write(f"{json.dumps(asdict(took))}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
