"""The process as a whole, where it ends badly."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
KUBECONFIG = {
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "c"}}],
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
}


def test_an_end_by_an_error_is_a_line_of_the_log_like_all_others(tmp_path: Path) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(json.dumps(KUBECONFIG))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = {
            **os.environ,
            "KUBECONFIG": str(config),
            "PYTHONPATH": str(ROOT / "src"),
            "KOK_HTTP_HOST": "127.0.0.1",
            "KOK_HTTP_PORT": str(taken.getsockname()[1]),
        }
        ended = subprocess.run(
            [sys.executable, "-c", "from kok.runtime.main import run; run([])"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    last = [json.loads(line) for line in ended.stderr.splitlines()][-1]
    assert (last["level"], last["event"]) == ("error", "the process ends")
    assert "address already in use" in last["exception"]
