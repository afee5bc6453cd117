"""What an admin of a business cluster can make its API servers do, and a server that waits for it.

He makes up Nodes, pods and Services with any address, and webhooks with any URL: the API server
then connects to these on his behalf, from within the meta cluster.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from e2e.polling import eventually
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError, NotFound

NAMESPACE = "default"
LEARNT = 120.0
"""Seconds in which an API server learns of what was made."""
WAIT = 10.0
"""Seconds that an answer may take. What is reached at all answers within one."""
_FAILED = {0, 500, 502, 503, 504}
"""HTTP statuses of the API server itself about a server from which it has no answer."""
_SILENCE = (
    "deadline exceeded",
    "i/o timeout",
    "Client.Timeout",
    "refused",
    "no route",
    "no endpoints",
)
"""What it then says if nobody was there."""


@dataclass(frozen=True)
class Target:
    """Something that answers by HTTP."""

    name: str
    scheme: str
    ip: str
    port: int
    path: str
    ways: frozenset[str] | None = None
    """Names of the only ways that there are to it; None for all."""


Way = Callable[[Kube, Target], Awaitable[bool]]
"""Whether a target answered."""


async def by_node(kube: Kube, target: Target) -> bool:
    """By the proxy to nodes: a Node whose address is the target's."""
    name = f"fake-{target.name}"
    await kube.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    status = {"addresses": [{"type": "InternalIP", "address": target.ip}]}
    await kube.patch(kinds.NODE, name, None, {"status": status}, subresource="status")
    path = f"/api/v1/nodes/{target.scheme}:{name}:{target.port}/proxy{target.path}"
    try:
        return await _answers(kube, path)
    finally:
        await kube.delete(kinds.NODE, name)


async def by_pod(kube: Kube, target: Target) -> bool:
    """By the proxy to pods: one that never ran and whose address he writes himself."""
    async with _pod(kube, f"fake-pod-{target.name}", target.ip) as name:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{target.scheme}:{name}:{target.port}/proxy"
        return await _answers(kube, f"{path}{target.path}")


async def by_service(kube: Kube, target: Target) -> bool:
    """By the proxy to Services: one whose endpoint is such a pod."""
    name = f"fake-{target.name}"
    meta = {"name": name, "namespace": NAMESPACE}
    port = {"name": "x", "port": target.port}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [port]}}
    await kube.apply(service)
    path = f"/api/v1/namespaces/{NAMESPACE}/services/{target.scheme}:{name}:x/proxy{target.path}"
    async with _pod(kube, name, target.ip):
        behind = {"kind": "Pod", "namespace": NAMESPACE, "name": name}
        endpoint = {"addresses": [target.ip], "conditions": {"ready": True}, "targetRef": behind}
        await kube.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**meta, "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4",
                "endpoints": [endpoint],
                "ports": [port],
            }
        )
        try:
            return await _answers(kube, path)
        finally:
            await kube.delete(kinds.SERVICE, name, NAMESPACE)
            await kube.delete(kinds.ENDPOINTSLICE, name, NAMESPACE)


@asynccontextmanager
async def _pod(kube: Kube, name: str, address: str) -> AsyncIterator[str]:
    """A pod that no node takes, with an address all the same."""
    meta = {"name": name, "namespace": NAMESPACE}
    spec = {
        "nodeSelector": {"attack": "none"},
        "automountServiceAccountToken": False,
        "containers": [{"name": "c", "image": "x"}],
    }
    await kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    status = {"podIP": address, "podIPs": [{"ip": address}]}
    await kube.patch(kinds.POD, name, NAMESPACE, {"status": status}, subresource="status")
    try:
        yield name
    finally:
        await kube.delete(kinds.POD, name, NAMESPACE, grace=0)


async def by_webhook(kube: Kube, target: Target) -> bool:
    """By a webhook: what the API server says of its answer tells whether there was one."""
    name = f"fake-{target.name}"
    hook = {
        "name": f"{name}.example.com",
        "clientConfig": {"url": f"https://{target.ip}:{target.port}/"},
        "rules": [
            {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"]}
            | {"resources": ["configmaps"], "scope": "Namespaced"}
        ],
        "objectSelector": {"matchLabels": {"attack": name}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": int(WAIT),
    }
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [hook],
    }
    await kube.apply(configuration)
    probe: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"attack": name}},
    }
    try:
        said = await _refusal(kube, probe)
    finally:
        await kube.delete(await kube.resolve(configuration), name)
    return not any(word in said for word in _SILENCE)


WAYS: Mapping[str, Way] = {
    "node": by_node,
    "pod": by_pod,
    "service": by_service,
    "webhook": by_webhook,
}


async def _refusal(kube: Kube, probe: Manifest) -> str:
    """What is said to an object that a webhook has to judge, once the webhook is known."""

    async def refused() -> str:
        try:
            await kube.create(probe)
        except KubeError as error:
            if "failed calling webhook" in error.message:
                return error.message
            raise
        # API servers learn of webhooks a moment after they were made.
        await kube.delete(kinds.CONFIGMAP, probe["metadata"]["name"], NAMESPACE)
        return ""

    return await eventually(refused, LEARNT, every=0.2)


async def _asked(kube: Kube, path: str) -> None:
    async def reached() -> bool:
        try:
            await kube.raw("GET", path)
        except KubeError as error:
            # API servers learn of endpoints a moment after they were made.
            if "no endpoints available" in error.message:
                return False
            raise
        return True

    await eventually(reached, LEARNT, every=0.2)


async def _answers(kube: Kube, path: str) -> bool:
    """Whether something beyond the API server answered, whatever it said."""
    try:
        async with asyncio.timeout(WAIT):
            await _asked(kube, path)
    except TimeoutError:
        return False
    except NotFound as error:
        # The target's own, unless the API server does not know the object yet.
        return "not found" not in error.message
    except KubeError as error:
        # A certificate that it does not trust comes from somebody who is there.
        return error.status not in _FAILED or "x509" in error.message
    except json.JSONDecodeError:
        return True
    return True


@dataclass
class Trap:
    """A server of the attacker's: it keeps who showed it which credentials."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        """Takes note of a request, and answers with nothing of use."""
        self.requests.append(f"{request.method} {request.path}")
        if authorization := request.headers.get("Authorization"):
            self.credentials.append(authorization.partition(" ")[0])
        return web.json_response({"kind": "Status", "code": 404}, status=404)


@asynccontextmanager
async def trap(address: str) -> AsyncIterator[Trap]:
    """Plain HTTP at a free port of an address of this machine, which pods reach."""
    made = Trap()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, 0).start()
        made.url = f"http://{address}:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()


def all_of(targets: Mapping[str, Target]) -> Iterator[tuple[str, Way, Target]]:
    """Every way to every target."""
    for target in targets.values():
        for how, way in WAYS.items():
            if target.ways is None or how in target.ways:
                yield f"{target.name} by a {how}", way, target
