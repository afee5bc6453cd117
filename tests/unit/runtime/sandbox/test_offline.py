"""A program without a network has none, and all else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kok.runtime.sandbox.offline import forbid_network

TRY = """
import socket, sys
print(open(sys.argv[1]).read(), end="")
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
    try:
        socket.socket(family)
        print(" open")
    except PermissionError:
        print(" closed")
"""


@pytest.mark.skipif(os.uname().machine not in {"x86_64", "aarch64"}, reason="no filter is known")
def test_a_program_opens_files_and_no_sockets(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("read")
    done = subprocess.run(
        [sys.executable, "-c", TRY, path],
        preexec_fn=forbid_network,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["read", "closed", "closed", "closed"]
