"""What proves a business cluster: a pod on its node that resolves a name by the cluster's DNS."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from e2e import userfiles
from e2e.follow import until
from e2e.lab import Lab
from e2e.lab.catalog import TOOLBOX
from kok.kube import kinds
from kok.kube.client import Kube


async def dns_check(lab: Lab, kube: Kube, kubeconfig: str, *, within: float = 300.0) -> str:
    """Runs the pod if it did not run yet; returns what it printed."""
    text = userfiles.fill("dns-check.yaml", image=TOOLBOX, domain="cluster.local")
    for manifest in userfiles.documents(text):
        name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
        if await kube.get(kinds.POD, name, namespace) is None:
            await kube.apply(manifest)
    await until(
        kube,
        kinds.POD,
        name,
        namespace,
        lambda pod: (pod.get("status") or {}).get("phase") == "Succeeded",
        within=within,
    )
    return await kubectl(lab, kubeconfig, "logs", "-n", namespace, name)


async def kubectl(lab: Lab, kubeconfig: str, *arguments: str, host: str | None = None) -> str:
    """kubectl in a business cluster.

    With `host` in the network of that host, where alone some addresses lead anywhere.
    """
    return await program(lab, "kubectl", kubeconfig, *arguments, host=host)


async def program(
    lab: Lab, name: str, kubeconfig: str, *arguments: str, host: str | None = None
) -> str:
    """One of Kubernetes' programs with a kubeconfig, which never stays on disk; its output."""
    inside = await lab.inside(host) if host is not None else ()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kubeconfig"
        path.touch(0o600)
        path.write_text(kubeconfig, encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *inside,
            str(lab.program(name)),
            *arguments,
            env={**os.environ, "KUBECONFIG": str(path)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{name} {' '.join(arguments)}: {err.decode().strip()}")
    return out.decode()
