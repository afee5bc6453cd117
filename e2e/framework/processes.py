"""Other ways to run the operators than three Deployments: one for all, and from the checkout."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager
from pathlib import Path

from e2e.framework.environment import Environment
from e2e.framework.follow import condition
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.framework.install import RELEASE
from e2e.lab.machine.commands import run, succeeds
from kok.api import Cluster, EtcdCluster, Machine
from kok.kube import kinds

STOP_LIMIT = 90.0
_LAST_LINES = 40


async def deployments(w: Environment) -> list[str]:
    """Names of the operators' Deployments."""
    found = await w.kube.list(kinds.DEPLOYMENT, OPERATORS)
    return sorted(d["metadata"]["name"] for d in found)


@asynccontextmanager
async def ready_throughout(
    w: Environment, namespace: str, but: Container[str] = ()
) -> AsyncIterator[None]:
    """Everything `but` these names is Ready before the block and stays so; raises `AssertionError`."""
    before = await _ready_since(w, namespace, but)
    yield
    after = await _ready_since(w, namespace, but)
    changed = {name: after.get(name) for name in before if after.get(name) != before[name]}
    if changed:
        raise AssertionError(f"Ready since another time than before: {changed}, {before}")


async def _ready_since(w: Environment, namespace: str, but: Container[str]) -> dict[str, str]:
    found = {}
    for kind in (Cluster.info.kind, EtcdCluster.info.kind, Machine.info.kind):
        for manifest in await w.kube.list(kind, namespace):
            ready, name = condition(manifest, "Ready"), manifest["metadata"]["name"]
            if name in but:
                continue
            if ready.get("status") != "True":
                raise AssertionError(f"{kind.kind} {name} is not Ready: {ready}")
            found[f"{kind.kind}/{name}"] = ready["lastTransitionTime"]
    return found


@asynccontextmanager
async def from_checkout(w: Environment) -> AsyncIterator[None]:
    """`kok operator --all` on this machine, as CONTRIBUTING.md describes it, in place of the
    chart's operators; it has to end in order when it is told to."""
    names = await deployments(w)
    scale = ("scale", "-n", OPERATORS, "deployment", *names)
    gone = ("-l", f"app.kubernetes.io/instance={RELEASE}", "--timeout=180s")
    await w.lab.kubectl(*scale, "--replicas=0")
    try:
        await w.lab.kubectl("wait", "-n", OPERATORS, "pod", "--for=delete", *gone, timeout=200)
        async with _routes_to_pods(w), _operators(w):
            yield
    finally:
        await w.lab.kubectl(*scale, "--replicas=1")


@asynccontextmanager
async def _operators(w: Environment) -> AsyncIterator[None]:
    environment = {
        **os.environ,
        "KUBECONFIG": str(w.lab.kubeconfig),
        "KOK_LOG_FORMAT": "text",
        # The usual one may be in use on this machine.
        "KOK_HTTP_PORT": "0",
    }
    with tempfile.NamedTemporaryFile(prefix="kok-operator-", suffix=".log") as log:
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *(str(Path(sys.executable).parent / "kok"), "operator", "--all"),
            env=environment,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(STOP_LIMIT):
                code = await process.wait()
            if code:
                raise AssertionError(f"kok operator --all ended with {code} when told to stop")
        except BaseException:
            said = await asyncio.to_thread(Path(log.name).read_text, "utf-8", "replace")
            w.report.text("\n".join(said.splitlines()[-_LAST_LINES:]))
            raise
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@asynccontextmanager
async def _routes_to_pods(w: Environment) -> AsyncIterator[None]:
    """The etcd operator dials members at the addresses of their pods."""
    routes = []
    for node in await w.kube.list(kinds.NODE):
        addresses = node["status"]["addresses"]
        via = next(a["address"] for a in addresses if a["type"] == "InternalIP")
        routes.append((node["spec"]["podCIDR"], "via", via))
    try:
        for route in routes:
            await run("ip", "route", "replace", *route)
        yield
    finally:
        for route in routes:
            await succeeds("ip", "route", "delete", *route)
