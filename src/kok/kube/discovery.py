"""Which kinds an API server serves beyond those that everybody knows."""

from __future__ import annotations

from kok.api.meta import Kind, Manifest
from kok.kube.errors import NotFound
from kok.kube.transport import Transport


class Discovery:
    """Asks once for each group and version, and again for a kind that was not there then."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._served: dict[str, dict[str, Kind]] = {}

    async def kind_of(self, manifest: Manifest) -> Kind:
        """The kind of a manifest; raises `NotFound` if the API server does not serve it."""
        api, name = str(manifest.get("apiVersion", "")), str(manifest.get("kind", ""))
        if name not in self._served.get(api, {}):
            self._served[api] = await self._ask(api)
        try:
            return self._served[api][name]
        except KeyError:
            raise NotFound(404, "NotFound", f"the API server has no kind {name} in {api}") from None

    async def _ask(self, api: str) -> dict[str, Kind]:
        group, _, version = api.rpartition("/")
        found = await self._transport.request("GET", f"/apis/{api}" if group else f"/api/{api}")
        return {
            entry["kind"]: Kind(group, version, entry["kind"], entry["name"], entry["namespaced"])
            for entry in found.get("resources") or ()
            if "/" not in entry["name"]
        }
