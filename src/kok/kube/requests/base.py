"""One API server as one identity: any request, and what all of them have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.budget.excesses import Excesses
from kok.kube.discovery import Discovery
from kok.kube.errors import KubeError, Unreachable, without_traceback
from kok.kube.http.access import Access
from kok.kube.http.transport import Transport
from kok.kube.lists.pages import has_metadata

Guard = Callable[[str, str], None]
"""Called with method and path before every request that could change something; may raise."""


class Requests:
    """What a client is made of; `kok.kube.client.Kube` is the whole."""

    def __init__(self, transport: Transport, field_manager: str) -> None:
        """By a way there that is ours, and as whom we write."""
        self.field_manager = field_manager
        self._transport = transport
        self._excesses = Excesses()
        self._guard: Guard | None = None
        self._discovery = Discovery(partial(self._send, "GET"))

    async def __aenter__(self) -> Self:
        """Closes the client at the end of the block."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes all connections, whatever the block ended with."""
        await self.close()

    async def close(self) -> None:
        """Closes all connections."""
        await self._transport.close()

    @property
    def server(self) -> str:
        """Address of the API server."""
        return self._transport.access.server

    @property
    def access(self) -> Access:
        """The identity behind this client."""
        return self._transport.access

    async def raw(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Any other request: parsed JSON, or text where the server answers with text."""
        return await self._send(method, path, body, query=query, headers=headers, timeout=timeout)

    async def matching(
        self, path: str, *beginnings: str, most: int, timeout: float
    ) -> Sequence[str]:
        """The lines of a long text, such as a server's metrics, that begin so; of the rest nothing is
        kept. Raises `TooLarge` for more than `most` bytes.
        """
        wanted = tuple(one.encode() for one in beginnings)
        return await self._transport.matching(path, wanted, most=most, timeout=timeout)

    async def resolve(self, manifest: Manifest) -> Kind:
        """The kind of a manifest, by discovery where it is not a well-known one; `NotFound`."""
        return kinds.kind_of(manifest) or await self._discovery.kind_of(manifest)

    async def other_version(self, kind: Kind) -> Kind | None:
        """The same kind in another version that is served; None where there is none."""
        return await self._discovery.other_version(kind)

    async def _object(self, method: str, path: str, body: object = None, **rest: Any) -> Manifest:
        answer = await self._send(method, path, body, **rest)
        # What is asked as an object, such as whether something is allowed, has no name.
        if not has_metadata(answer, named=method != "POST"):
            del answer
            raise Unreachable(f"{self.server} did not answer with a Kubernetes object")
        found: Manifest = answer
        return found

    async def _send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Any:
        if self._guard is not None and method != "GET":
            self._guard(method, path)
        try:
            answer = await self._transport.request(
                method, path, body, query=query, headers=headers, timeout=timeout
            )
        except KubeError as error:
            self._excesses.account(path, error)
            raise without_traceback(error) from None
        self._excesses.account(path, None)
        return answer
