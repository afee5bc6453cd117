"""Our client of the Kubernetes API beside the `kubernetes` package: processor time and memory."""

from __future__ import annotations

import asyncio
import itertools
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from e2e.bench.figure import Figure, figure

ROUNDS = 3
OBJECTS, EVENTS = 2000, 5000
CLIENTS = ("kok", "kubernetes", "kubernetes.aio")
_LIST = "/api/v1/namespaces/ns/configmaps"


def _object(number: int) -> dict[str, Any]:
    """A ConfigMap of about a kilobyte, with the record of its writers that all objects have."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"cm-{number}",
            "namespace": "ns",
            "uid": f"uid-{number}",
            "resourceVersion": str(number + 1),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "bench", "number": str(number)},
            "managedFields": [
                {
                    "manager": "bench",
                    "operation": "Apply",
                    "apiVersion": "v1",
                    "time": "2026-01-01T00:00:00Z",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:data": {f"f:key-{n}": {} for n in range(10)}},
                }
            ],
        },
        "data": {f"key-{n}": "x" * 50 for n in range(10)},
    }


async def apiclients() -> AsyncIterator[Figure]:
    """Three clients do the same in processes of their own: start, list, watch."""
    async with asyncio.timeout(600):
        runner = web.AppRunner(_app())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            found = {name: [await _child(name, port) for _ in range(ROUNDS)] for name in CLIENTS}
        finally:
            await runner.cleanup()
    for name, runs in found.items():
        for key, unit, note in (
            ("start", "s", "processor time until the first answer"),
            ("start_rss", "MiB", "resident then"),
            ("list", "s", f"processor time for {OBJECTS} objects"),
            ("list_rss", "MiB", "resident while all of them are held"),
            ("watch", "s", f"processor time for {EVENTS} events"),
        ):
            yield figure(f"{name}-{key.replace('_', '-')}", [r[key] for r in runs], unit, note=note)


def _app() -> web.Application:
    listed = {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}}
    body = json.dumps({**listed, "items": [_object(n) for n in range(OBJECTS)]}).encode()
    empty = json.dumps({**listed, "items": []}).encode()
    lines = [
        json.dumps({"type": "MODIFIED", "object": _object(n)}).encode() + b"\n"
        for n in range(EVENTS)
    ]

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.query.get("watch"):
            stream = web.StreamResponse(headers={"Content-Type": "application/json"})
            await stream.prepare(request)
            for line in lines:
                await stream.write(line)
            await asyncio.Event().wait()
        short = request.query.get("labelSelector") == "none=1"
        return web.Response(body=empty if short else body, content_type="application/json")

    app = web.Application()
    app.router.add_get(_LIST, answer)
    return app


async def _child(name: str, port: int) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "e2e.bench.standalone.apiclients",
            name,
            f"http://127.0.0.1:{port}",
        ),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the client {name} ended with {process.returncode}")
    measured: dict[str, float] = json.loads(out)
    return measured


# --- in the other process

Step = Callable[[], Awaitable[object]]


async def _measure(start: Step, everything: Step, watch: Step) -> dict[str, float]:
    out: dict[str, float] = {}
    await start()
    out["start"], out["start_rss"] = time.process_time(), _resident()
    before = time.process_time()
    held = await everything()
    out["list"], out["list_rss"] = time.process_time() - before, _resident()
    del held
    before = time.process_time()
    await watch()
    out["watch"] = time.process_time() - before
    return out


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


async def _kok(server: str) -> dict[str, float]:
    from kok.kube import kinds  # noqa: PLC0415 - what is imported is what is measured
    from kok.kube.client import Kube  # noqa: PLC0415

    context = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    config = {
        **context,
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
    }
    async with await Kube.from_kubeconfig(config, field_manager="bench") as kube:

        async def watch() -> None:
            seen = 0
            async for event in kube.watch(kinds.CONFIGMAP, "ns"):
                seen += event.type == "MODIFIED"
                if seen == EVENTS:
                    return

        return await _measure(
            lambda: kube.list(kinds.CONFIGMAP, "ns", labels={"none": "1"}),
            lambda: kube.list(kinds.CONFIGMAP, "ns"),
            watch,
        )


async def _kubernetes(server: str) -> dict[str, float]:
    from kubernetes import client  # noqa: PLC0415
    from kubernetes import watch as watching  # noqa: PLC0415

    config = client.Configuration()
    config.host = server
    api = client.CoreV1Api(client.ApiClient(config))

    async def start() -> object:
        return api.list_namespaced_config_map("ns", label_selector="none=1")

    async def everything() -> object:
        return api.list_namespaced_config_map("ns")

    async def watch() -> None:
        events = watching.Watch().stream(api.list_namespaced_config_map, "ns")
        for _ in itertools.islice(events, EVENTS):
            pass

    return await _measure(start, everything, watch)


async def _kubernetes_aio(server: str) -> dict[str, float]:
    from kubernetes.aio import client  # noqa: PLC0415
    from kubernetes.aio import watch as watching  # noqa: PLC0415

    config = client.Configuration()
    config.host = server
    async with client.ApiClient(config) as base:
        api = client.CoreV1Api(base)

        async def watch() -> None:
            seen = 0
            async with watching.Watch().stream(api.list_namespaced_config_map, "ns") as stream:
                async for _ in stream:
                    seen += 1
                    if seen == EVENTS:
                        return

        return await _measure(
            lambda: api.list_namespaced_config_map("ns", label_selector="none=1"),
            lambda: api.list_namespaced_config_map("ns"),
            watch,
        )


_RUN = {"kok": _kok, "kubernetes": _kubernetes, "kubernetes.aio": _kubernetes_aio}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_RUN[sys.argv[1]](sys.argv[2]))))
