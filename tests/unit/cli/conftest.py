"""The `kok` command against an API server in memory."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.cli.things import (
    CA,
    CSRS,
    Run,
    admins,
    kok,
    lay,
)
from tests.unit.fakeapi import FakeApi
from tests.unit.workload.csrs import csr, node

from kok import pki


@pytest.fixture
def run(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command against the API server in memory: exit code, output, errors."""
    config = tmp_path / "kubeconfig"
    config.write_text(json.dumps(api.kubeconfig()))
    monkeypatch.setenv("KUBECONFIG", str(config))
    monkeypatch.setenv("COLUMNS", "200")

    async def start(*arguments: str) -> tuple[int, str, str]:
        result = await asyncio.to_thread(kok, *arguments)
        return result.exit_code, result.stdout, result.stderr

    return start


@pytest.fixture
async def joined(api: FakeApi, tmp_path: Path) -> AsyncIterator[FakeApi]:
    """The API server of a Cluster whose nodes `w7` and `w8` ask for certificates."""
    leaf = pki.issue(
        CA,
        pki.LeafSpec("x", ip_addresses=["127.0.0.1"], usages=pki.Usage.SERVER),
        datetime.now(UTC),
    )
    served = tmp_path / "served.pem"
    served.write_bytes(leaf.cert_pem + leaf.key_pem)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(served)
    business = await FakeApi().start(tls)
    lay(api, admins(business.address))
    api.put("/api/v1/nodes/meta-1", node("meta-1", "203.0.113.1"))
    business.put("/api/v1/nodes/w7", node("w7", "192.0.2.77", "203.0.113.1"))
    business.put("/api/v1/nodes/w8", node("w8", "192.0.2.78"))
    business.put(f"{CSRS}/csr-w7", csr("w7", hosts=["w7"], addresses=["192.0.2.77"]))
    business.put(f"{CSRS}/csr-w8", csr("w8", hosts=["w8"]))
    yield business
    await business.close()
