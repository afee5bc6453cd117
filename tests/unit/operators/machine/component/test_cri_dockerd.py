"""Whether cri-dockerd works is asked of its socket: one that hangs runs on, and lets anybody connect."""

from __future__ import annotations

import re
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest
from tests.unit.operators.machine import builders

from kok.operators.machine.component.render import rendered

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_STATUS_200 = b"\x88"


def _curl_speaks_http2() -> bool:
    curl = shutil.which("curl")
    return curl is not None and b"HTTP2" in subprocess.check_output([curl, "--version"])


pytestmark = pytest.mark.skipif(not _curl_speaks_http2(), reason="no curl with HTTP/2")


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Runtime:
    """What listens at a socket, as gRPC does; it can be made to hang."""

    def __init__(self, path: Path) -> None:
        self.asked: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()

    def serve(self) -> None:
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, connection.makefile("rb") as sent:
                    self._answer(connection, sent)

    def _answer(self, connection: socket.socket, sent: IO[bytes]) -> None:
        read = sent.read
        assert read(len(_PREFACE)) == _PREFACE
        connection.sendall(_frame(_SETTINGS, 0, 0) + _frame(_SETTINGS, _ACK, 0))
        while head := read(9):
            length = int.from_bytes(head[:3], "big")
            kind, flags, payload = head[3], head[4], read(length)
            if kind == _DATA:
                self.asked.append(payload)
            if kind in {_DATA, _HEADERS} and flags & _END_STREAM:
                end = _frame(_HEADERS, _END_STREAM | _END_HEADERS, 1, _STATUS_200)
                connection.sendall(end)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    (tmp_path / "run").mkdir()
    made = Runtime(tmp_path / "run/cri-dockerd.sock")
    yield made
    made.close()


def health(
    top: Path, *, active: bool = True, patience: float = 30
) -> subprocess.CompletedProcess[str]:
    """The script on a host of a directory, where time flies; `patience` is that of one call."""
    programs = top / "bin"
    programs.mkdir()
    for name in ("sh", "curl", "grep", "cat", "tail"):
        (programs / name).symlink_to(str(shutil.which(name)))
    for name, text in {
        "systemctl": f"exit {0 if active else 3}",
        "journalctl": "echo it ended",
        "sleep": "",
        "date": f'n=$(cat {top}/now 2>/dev/null || echo 0); echo $((n + 8)) >{top}/now; echo "$n"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    made = rendered(builders.builtin("cri-dockerd"), builders.machine(), {}, builders.survey())
    script = re.sub(r"(?<=[ \t])/run/", f"{top}/run/", made.scripts["health"])
    script = script.replace(" -m 4 ", f" -m {patience} ")
    return subprocess.run(
        ["/bin/sh", "-eu"],
        input=script,
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_one_that_answers_is_well(tmp_path: Path, runtime: Runtime) -> None:
    runtime.serve()
    ended = health(tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "")
    # A message of gRPC that has no fields.
    assert runtime.asked == [b"\0\0\0\0\0"]


def test_one_that_is_stopped_lets_connect_and_is_found_all_the_same(
    tmp_path: Path, runtime: Runtime
) -> None:
    ended = health(tmp_path, patience=0.2)
    assert ended.returncode == 1
    assert ended.stdout.startswith("cri-dockerd does not answer: curl: (28) ")
    assert runtime.asked == []


def test_one_that_does_not_run_tells_its_last_words(tmp_path: Path, runtime: Runtime) -> None:
    runtime.serve()
    ended = health(tmp_path, active=False)
    assert (ended.returncode, ended.stdout) == (1, "cri-dockerd does not answer: it ended\n")
