"""The files of pods: Secrets, as their volumes have them."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.integration.operators.cluster.standin.processes import own_address

from kok.api import names
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster.cluster.pki.credentials import CLIENT_FILES
from kok.operators.cluster.naming import EGRESS_CONFIG
from kok.operators.cluster.tunnel import FILES, SOCKETS


async def bring_files(
    kube: Kube, pod: Manifest, namespace: str, directory: Path, volume: int = 0
) -> bool:
    """Whether all Secrets of a volume are there, which then lie in the directory."""
    for source in pod["volumes"][volume]["projected"]["sources"]:
        wanted = source["secret"]
        secret = await kube.get(kinds.SECRET, wanted["name"], namespace)
        if secret is None:
            return False
        for item in wanted["items"]:
            path = directory / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            content = base64.b64decode(secret["data"][item["key"]])
            if item["path"] == "kubeconfig":
                content = await _local_kubeconfig(kube, content, namespace, directory)
            if path.name == EGRESS_CONFIG:
                content = content.replace(SOCKETS.encode(), str(directory).encode())
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)
    return True


async def _local_kubeconfig(kube: Kube, text: bytes, namespace: str, directory: Path) -> bytes:
    service = next(
        s
        for s in await kube.list(kinds.SERVICE, namespace)
        if str(s["metadata"]["name"]).endswith("-apiserver")
    )
    name = service["metadata"]["name"]
    inner = f"https://{name}.{namespace}.svc:{names.API_PORT}"
    outer = f"https://{own_address()}:{service['spec']['ports'][0]['nodePort']}"
    local = text.decode().replace(inner, outer)
    for folder in (CLIENT_FILES, FILES):
        local = local.replace(folder, str(directory))
    return local.encode()
