"""The lab's two services: an OCI registry, and a plain HTTP server of artifacts.

Both serve directories of the cache, so that a lab that comes up again has everything at hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from ssl import SSLContext

import aiohttp

from e2e.lab.cluster.state import State
from e2e.lab.errors import LabError
from e2e.lab.machine import podman
from e2e.lab.machine.cache import Cache
from e2e.lab.machine.commands import run, succeeds
from e2e.lab.machine.podman import LABEL
from e2e.polling import eventually

REGISTRY_PORT = 5000
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_START_SECONDS = 30.0


class Services:
    """The registry and the artifact server of one lab."""

    def __init__(self, state: State, cache: Cache) -> None:
        self.state = state
        self.cache = cache

    @property
    def registry(self) -> str:
        """``address:port``, as in an image reference."""
        return f"{self.state.registry}:{REGISTRY_PORT}"

    @property
    def artifacts_url(self) -> str:
        return f"http://{self.state.artifacts}"

    async def ensure_network(self, name: str) -> None:
        """Make the lab's network: a bridge with the subnet of the state and no DNS of podman's."""
        if await succeeds("podman", "network", "exists", name):
            return
        await run(
            *("podman", "network", "create", "--disable-dns"),
            *("--label", f"{LABEL}={self.state.name}", "--subnet", str(self.state.subnet), name),
        )

    async def ensure(self, network: str, image: str) -> None:
        """Make sure that both services run and answer."""
        registry = self._service(
            "registry",
            ("--network", network, "--ip", str(self.state.registry)),
            f"{self._directory('registry')}:/var/lib/registry",
            (image, "docker-registry", "serve", "/etc/docker/registry/lab.yml"),
            f"http://{self.registry}/v2/",
        )
        artifacts = self._service(
            "artifacts",
            ("--network", network, "--ip", str(self.state.artifacts)),
            f"{self._directory('artifacts')}:/srv/artifacts:ro",
            (image, "nginx", "-c", "/etc/nginx/artifacts.conf"),
            f"{self.artifacts_url}/healthz",
        )
        await asyncio.gather(registry, artifacts)

    async def _service(
        self, name: str, place: Sequence[str], volume: str, run: Sequence[str], url: str
    ) -> None:
        container = f"{self.state.name}-{name}"
        if not await podman.keep(self.state.name, container):
            image, *command = run
            options = (*place, "--no-hosts", "--volume", volume)
            await podman.make(self.state.name, container, image, options, command)
        await answers(url, container)

    def _directory(self, name: str) -> Path:
        data = self.cache.path(name)
        data.mkdir(parents=True, exist_ok=True)
        return data

    async def digest(self, repository: str, tag: str) -> str | None:
        """The digest that the registry holds under a name, or None."""
        url = f"http://{self.registry}/v2/{repository}/manifests/{tag}"
        async with (
            aiohttp.ClientSession() as session,
            session.head(url, headers={"Accept": _MANIFESTS}) as answer,
        ):
            return answer.headers.get("Docker-Content-Digest") if answer.status == 200 else None


async def answers(url: str, container: str, trust: SSLContext | bool = True) -> None:
    """Wait until a service answers; its container's log tells why it does not."""
    limit, connector = aiohttp.ClientTimeout(total=2), aiohttp.TCPConnector(ssl=trust)
    async with aiohttp.ClientSession(timeout=limit, connector=connector) as session:

        async def answered() -> bool:
            async with session.get(url) as answer:
                return answer.status == 200

        not_yet = (aiohttp.ClientError, TimeoutError)
        try:
            await eventually(answered, _START_SECONDS, every=0.1, unless=not_yet)
        except TimeoutError:
            raise LabError(
                f"{url} does not answer after {_START_SECONDS:.0f} s; see `podman logs {container}`"
            ) from None
