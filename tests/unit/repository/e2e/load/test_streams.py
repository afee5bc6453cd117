"""Streams of kubectl that break are resumed, and what is missing in them is found.

In place of kubectl stands a script: without a kubelet there is nothing that it could follow.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from e2e.load.streams import Stream
from e2e.polling import eventually

LIMIT = 30.0


def _kubectl(folder: Path, script: str) -> Path:
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\ncd {folder}\n{script}\n")
    program.chmod(0o755)
    return program


async def _followed(stream: Stream, until: int) -> dict[str, object]:
    """What a stream tells once it has come to a number and broken before."""
    task = asyncio.create_task(stream.run())
    try:
        await eventually(lambda: stream.numbers.last == until and stream.breaks, LIMIT)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return stream.told(0.0)


async def test_a_log_is_told_from_its_beginning_and_taken_up_where_it_broke(tmp_path: Path) -> None:
    script = """
        test -e again && { printf '1\\n2\\n3\\n4\\n'; exec sleep 60; }
        touch again; printf '1\\n2\\n33'; echo 'error: unexpected EOF' >&2; exit 1
    """
    stream = Stream(_kubectl(tmp_path, script), tmp_path / "none", follows=True)
    told = await _followed(stream, 4)
    assert told["said"] == ["error: unexpected EOF"]
    assert [told[name] for name in ("seen", "breaks", "lost", "doubled")] == [4, 1, 0, 0]


async def test_a_log_that_lacks_lines_after_a_break_has_lost_them(tmp_path: Path) -> None:
    script = """
        test -e again && { printf '5\\n6\\n'; exec sleep 60; }
        touch again; printf '1\\n2\\n'
    """
    stream = Stream(_kubectl(tmp_path, script), tmp_path / "none", follows=True)
    told = await _followed(stream, 6)
    assert [told[name] for name in ("seen", "breaks", "lost", "doubled")] == [4, 1, 2, 0]
    assert told["said"] == ["it ended without a word"]


async def test_a_command_begins_anew(tmp_path: Path) -> None:
    script = """
        test -e again && { printf '1\\n2\\n3\\n'; exec sleep 60; }
        touch again; printf '1\\n2\\n'
    """
    stream = Stream(_kubectl(tmp_path, script), tmp_path / "none", follows=False)
    told = await _followed(stream, 3)
    assert [told[name] for name in ("seen", "breaks", "lost", "doubled")] == [5, 1, 0, 0]
