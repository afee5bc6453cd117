"""`kok operator` with the real operators against a real API server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from e2e.polling import eventually
from tests.integration.apiserver import ApiServer, free_ports
from tests.integration.conftest import LEASE
from tests.integration.runtime.conftest import LIMIT

from kok.kube import kinds
from kok.kube.client import Kube

ROOT = Path(__file__).parents[3]
MOST_MEMORY = 150.0
"""MiB that one process with all three operators may take with nothing to do."""


async def is_ready(port: int) -> bool:
    """Whether the process says that it is ready."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/readyz") as response,
        ):
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


def memory(pid: int) -> float:
    """Resident memory of a process in MiB."""
    resident = Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2]
    return int(resident.split()[0]) / 1024


@pytest.mark.parametrize("which", ["etcd", "cluster", "machine", "--all"])
async def test_an_operator_starts_is_ready_and_ends_in_order(
    api_server: ApiServer, kok_crds: None, kube: Kube, namespace: str, tmp_path: Path, which: str
) -> None:
    (port,) = free_ports(1)
    config = tmp_path / "kubeconfig"
    config.write_text(api_server.kubeconfig())
    environment = {
        **os.environ,
        "KUBECONFIG": str(config),
        "PYTHONPATH": str(ROOT / "src"),
        "KOK_NAMESPACES": namespace,
        "KOK_LEASE_NAMESPACE": namespace,
        **{f"KOK_{key.upper()}": str(value) for key, value in LEASE.items()},
        "KOK_HTTP_HOST": "127.0.0.1",
        "KOK_HTTP_PORT": str(port),
    }
    code = "from kok.cli.main import app; app()"
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, "operator", which, env=environment, stderr=out
        )
    leases = [
        f"kok-{name}-operator"
        for name in ("etcd", "cluster", "machine")
        if which in {name, "--all"}
    ]
    try:

        async def ready() -> bool:
            assert process.returncode is None, log.read_text()
            return await is_ready(port)

        await eventually(ready, 2 * LIMIT, every=0.1)
        for lease in leases:
            found = await kube.get(kinds.LEASE, lease, namespace)
            assert found is not None
            assert found["spec"]["holderIdentity"]
        assert memory(process.pid) < MOST_MEMORY
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line for line in lines if line["level"] in {"warning", "error"}] == []
    for lease in leases:
        released = await kube.get(kinds.LEASE, lease, namespace)
        assert released is not None
        assert not released["spec"].get("holderIdentity")
