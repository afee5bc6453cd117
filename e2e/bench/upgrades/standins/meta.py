"""The meta cluster's API server, real, with KOK's kinds in it; nothing else of Kubernetes runs."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import yaml

from e2e.bench.bare.control_plane import end, etcd_flags, free_port, ready, start
from e2e.framework.install import CHECKOUT
from e2e.lab.machine.commands import run
from e2e.polling import eventually
from kok.api import KINDS
from kok.api.meta import Kind
from kok.kube.client import Kube
from kok.kube.errors import KubeError, NotFound
from kok.pki import LeafSpec, Usage, issue, kubeconfig, new_ca, service_account_keys

PATIENCE = 60.0
"""Seconds for one request: a busy machine is slow."""
ADMINS = "system:masters"


async def program(name: str) -> Path:
    """A program of the lab's cache, at the version that the lab runs; built first if it is missing."""
    said = await run(sys.executable, "-m", "e2e.lab", "binary", name, cwd=CHECKOUT)
    return Path(said.strip().splitlines()[-1])


@asynccontextmanager
async def meta(home: Path) -> AsyncIterator[Path]:
    """The path of a kubeconfig that may do anything, as long as the block lasts."""
    etcd, apiserver = [await program(name) for name in ("etcd", "kube-apiserver")]
    client, peer, secure = free_port(), free_port(), free_port()
    # As that of the lab's meta cluster it does not wait for the disk.
    flags = [*etcd_flags(home, client, peer), "--unsafe-no-fsync=true", "--log-level=warn"]
    processes = [
        await start(etcd, *flags, log=home / "etcd.log"),
        await start(apiserver, *_flags(home, client, secure), log=home / "apiserver.log"),
    ]
    try:
        await ready(secure)
        yield home / "kubeconfig"
    finally:
        await end(*processes)


def _flags(home: Path, etcd: int, port: int) -> list[str]:
    """Of the API server, whose files are written, as is the kubeconfig."""
    now, ca = datetime.now(UTC), new_ca("meta", datetime.now(UTC))
    serving = LeafSpec("kube-apiserver", ip_addresses=["127.0.0.1"], usages=Usage.SERVER)
    server, admin = issue(ca, serving, now), issue(ca, LeafSpec("admin", [ADMINS]), now)
    (home / "ca.crt").write_bytes(ca.cert_pem)
    (home / "server.pem").write_bytes(server.cert_pem + server.key_pem)
    (home / "sa.key").write_bytes(service_account_keys().private_pem)
    config = kubeconfig("meta", f"https://127.0.0.1:{port}", ca.cert_pem, "admin", admin)
    (home / "kubeconfig").write_text(config)
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--tls-cert-file={home / 'server.pem'}",
        f"--tls-private-key-file={home / 'server.pem'}",
        f"--client-ca-file={home / 'ca.crt'}",
        "--service-cluster-ip-range=10.65.0.0/20",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={home / 'sa.key'}",
        f"--service-account-signing-key-file={home / 'sa.key'}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        # Nobody makes the service accounts that pods would have.
        "--disable-admission-plugins=ServiceAccount",
    ]


def client(kubeconfig: Path, who: str) -> Awaitable[Kube]:
    """A client that calls itself so."""
    text = kubeconfig.read_text()
    return Kube.from_kubeconfig(text, field_manager=who, timeout=PATIENCE)


async def furnish(kube: Kube, namespaces: Sequence[str]) -> None:
    """KOK's kinds, and namespaces."""
    for file in sorted((CHECKOUT / "crds").glob("*.yaml")):
        for manifest in yaml.safe_load_all(file.read_text()):
            await kube.apply(manifest)
    for kind in (model.info.kind for model in KINDS):
        await eventually(partial(_is_served, kube, kind), PATIENCE, unless=(KubeError,))
    for name in namespaces:
        await kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


async def _is_served(kube: Kube, kind: Kind) -> bool:
    try:
        await kube.list(kind)
    except NotFound:
        return False
    return True
