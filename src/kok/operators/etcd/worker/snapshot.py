"""A member's snapshot, read from gRPC in a thread of its own.

etcd sends 32 KiB at a time, so that it is the cost of a message that counts. With 1 GB over TLS on
two cores that had other work (`etcdctl snapshot save`: 122 MB/s):

    grpc.aio                      122 MB/s    4.8 s of CPU a GiB
    grpc                          124 MB/s    4.2 s
    grpc, the reader drives it    165 MB/s    2.7 s
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc.experimental

from kok.operators.etcd.worker import wire

DRIVEN_BY_READER = (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1)
"""Option of a channel, without which gRPC reads ahead in another thread."""
_METHOD = "/etcdserverpb.Maintenance/Snapshot"
_BLOCK = 256 * 1024
_AHEAD = 2
"""Blocks that wait for whoever takes them, at most."""
_SETTLE = 5.0
"""Seconds that the thread gets to notice that nobody listens any more."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a snapshot, and how many bytes would come in all by the member's word.

    That word does not count the checksum at the end.
    """

    data: bytes
    announced: int


async def blocks(channel: Any, stall: float) -> AsyncGenerator[Block]:
    """The database as it is when the member is asked, and its checksum.

    `channel` is a `grpc.Channel` (which is not typed) with the option `DRIVEN_BY_READER`. Raises
    `grpc.RpcError` for what the member says, and `TimeoutError` if for `stall` seconds nothing
    comes.
    """
    call = channel.unary_stream(
        _METHOD, request_serializer=wire.encode, response_deserializer=wire.decode
    )({})
    loop, came = asyncio.get_running_loop(), asyncio.Queue[Block | None]()
    room, left = threading.Semaphore(_AHEAD), threading.Event()

    def fetch() -> None:
        try:
            for block in _joined(call):
                room.acquire()
                if left.is_set():
                    return
                loop.call_soon_threadsafe(came.put_nowait, block)
        finally:
            loop.call_soon_threadsafe(came.put_nowait, None)

    # Not one of those that hash and write: the worker has a single one for that.
    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshot")
    fetching = loop.run_in_executor(reader, fetch)
    try:
        while True:
            async with asyncio.timeout(stall):
                block = await came.get()
            if block is None:
                break
            yield block
            room.release()
        await fetching
    finally:
        left.set()
        call.cancel()
        room.release()
        await asyncio.wait([fetching], timeout=_SETTLE)
        if fetching.done() and not fetching.cancelled():
            # What it raises because nobody listens any more is not news to anybody.
            fetching.exception()
        reader.shutdown(wait=False)


def _joined(answers: Iterable[wire.Fields]) -> Iterator[Block]:
    joined, announced = bytearray(), None
    for answer in answers:
        data = wire.blob(answer, 3)
        if announced is None:
            announced = wire.integer(answer, 2) + len(data)
        joined += data
        if len(joined) >= _BLOCK:
            yield Block(bytes(joined), announced)
            joined.clear()
    if announced is not None and joined:
        yield Block(bytes(joined), announced)
