"""A member's snapshot, read in a thread of its own.

etcd sends 32 KiB at a time, so that it is the cost of a message that counts. With 900 MB over TLS on
two cores that had nothing else to do, member and reader together:

    grpcio 1.85, asyncio            122 MB/s    4.8 s of CPU a GB in the reader
    grpcio, the reader drives it    235 MB/s    3.3 s, and 3.4 s in etcd
    libcurl, in a thread            380 MB/s    1.0 s, and 2.8 s in etcd
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kok.etcdclient import protobuf
from kok.etcdclient.grpc import Call, CallError, Failure, Messages, Server

_METHOD = "/etcdserverpb.Maintenance/Snapshot"
_REMAINING, _BLOB = 2, 3
_BLOCK = 1024**2
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


async def blocks(server: Server, stall: float) -> AsyncGenerator[Block]:
    """The database as it is when the member is asked, and its checksum.

    Raises `CallError` for what the member says, and `TimeoutError` if for `stall` seconds nothing
    comes.
    """
    call = Call(server, _METHOD, b"")
    loop, came = asyncio.get_running_loop(), asyncio.Queue[Block | None]()
    room, left = threading.Semaphore(_AHEAD), threading.Event()

    def hand_on(block: Block) -> bool:
        room.acquire()
        loop.call_soon_threadsafe(came.put_nowait, block)
        return not left.is_set()

    def fetch() -> None:
        joiner = _Joiner(hand_on)
        try:
            call.stream(joiner.feed)
            joiner.end()
        except CallError:
            # What was wrong with the body is why libcurl was told to end.
            if joiner.wrong is not None:
                raise joiner.wrong from None
            raise
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
        call.stop()
        room.release()
        reader.shutdown(wait=False)
        await asyncio.wait([fetching], timeout=_SETTLE)
        if fetching.done() and not fetching.cancelled():
            # What it raises because nobody listens any more is not news to anybody.
            fetching.exception()


class _Joiner:
    """Makes few large blocks of many small messages."""

    def __init__(self, hand_on: Callable[[Block], bool]) -> None:
        """`hand_on` tells whether somebody wants more."""
        self.wrong: CallError | None = None
        self._hand_on = hand_on
        self._messages = Messages()
        self._announced: int | None = None

    def feed(self, data: bytes) -> int | None:
        """Takes the next bytes; 0 if no more are wanted."""
        self._messages.feed(data)
        if self._messages.size < _BLOCK:
            return None
        try:
            return None if self._join() else 0
        except CallError as error:
            # libcurl could only print it.
            self.wrong = error
            return 0

    def end(self) -> None:
        """Hands on the rest. Raises `CallError` if it is not whole."""
        self._join()
        if self._messages.size:
            raise CallError(Failure.BROKE_OFF, "the last message is not whole")

    def _join(self) -> bool:
        data: list[memoryview] = []
        for message in self._messages.take():
            piece, remaining = _parsed(message)
            data.append(piece)
            if self._announced is None:
                self._announced = remaining + len(piece)
        if self._announced is None or not data:
            return True
        return self._hand_on(Block(b"".join(data), self._announced))


def _parsed(message: memoryview) -> tuple[memoryview, int]:
    """The bytes in a message, and how many follow in others."""
    try:
        fields = dict(protobuf.views(message))
    except ValueError as error:
        raise CallError(Failure.STRANGE, "it does not send a snapshot") from error
    piece, remaining = fields.get(_BLOB, b""), fields.get(_REMAINING, 0)
    if isinstance(piece, int) or not isinstance(remaining, int):
        raise CallError(Failure.STRANGE, "it does not send a snapshot")
    return memoryview(piece), remaining
