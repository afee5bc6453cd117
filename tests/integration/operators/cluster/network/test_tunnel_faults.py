"""What befalls a tunnel: a thousand connections, an agent or a kubelet that dies, an end of validity.

As in `test_tunnel`, API servers, the tunnel's servers and agents are real.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
from aiohttp import web
from tests.integration.apiserver import ApiServer, free_ports
from tests.integration.operators.cluster.conftest import Workspace, condition, running, soon
from tests.integration.operators.cluster.network.tunnelled import (
    AGENT,
    SAYS,
    Agent,
    Held,
    a_pod,
    answer,
    certificate,
    holding,
)
from tests.integration.operators.cluster.standin import StandIn, own_address

from kok import pki
from kok.api import names
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.operators.cluster import naming
from kok.operators.cluster.tunnel import USER
from kok.runtime.process.main import Process

MANY = 1000
ASKED = 20
"""Requests of which none may fail."""
API_SERVER = "shop-apiserver"
ALWAYS = {"tunnel": "Always"}


async def test_a_thousand_connections_through_one_agent_harm_nothing_else(
    workspace: Workspace, standin: StandIn, cluster_operator: Process, tmp_path: Path
) -> None:
    await workspace.make(network=ALWAYS)
    await workspace.until_ready()
    async with (
        workspace.business() as admin,
        a_pod(admin) as pod,
        agents(admin, tmp_path) as (agent,),
    ):
        assert await answer(admin, pod.hello) == SAYS
        async with holding(admin, pod) as held:
            await held.open(MANY)
            assert await agent.connections() >= MANY
            await none_fails(admin, pod.hello)
            [server] = standin.tunnel(API_SERVER).processes
            spec = (await workspace.there(kinds.DEPLOYMENT, API_SERVER))["spec"]["template"]["spec"]
            assert mebibytes(server.pid) < limit(spec["initContainers"][0])
            live = await admin.get(kinds.DEPLOYMENT, AGENT, "kube-system")
            assert live is not None
            assert mebibytes(agent.pid) < limit(live["spec"]["template"]["spec"]["containers"][0])
            pod.let_go()
            assert set(await asyncio.gather(*held.ends)) == {SAYS}
        # What is done with is given back at both ends.
        await soon(lambda: _fewer(agent, ASKED))
        await none_fails(admin, pod.hello)


async def test_of_an_agent_that_is_killed_only_what_it_carried_breaks_off(
    workspace: Workspace, standin: StandIn, cluster_operator: Process, tmp_path: Path
) -> None:
    await workspace.make(network=ALWAYS)
    await workspace.until_ready()
    async with (
        workspace.business() as admin,
        a_pod(admin) as pod,
        agents(admin, tmp_path, 2) as (
            stays,
            dies,
        ),
        holding(admin, pod) as held,
    ):
        await held.open(40)
        carried, other = await dies.connections(), await stays.connections()
        # Neither has all of it.
        assert carried > 0
        assert other > 0
        assert carried + other == 40
        await dies.kill()
        await soon(lambda: _broken_off(held, carried))
        assert await answer(admin, pod.hello) == SAYS
        await none_fails(admin, pod.hello)
        pod.let_go()
        ends = await asyncio.gather(*held.ends, return_exceptions=True)
        assert [said for said in ends if not isinstance(said, BaseException)] == [SAYS] * other


async def test_agents_follow_the_number_of_api_servers_and_nothing_restarts(
    workspace: Workspace, standin: StandIn, cluster_operator: Process, tmp_path: Path
) -> None:
    await workspace.make(network=ALWAYS)
    await workspace.until_ready()
    started = list(standin.started)
    ports = standin.tunnel(API_SERVER).ports
    async with (
        workspace.business() as admin,
        a_pod(admin) as pod,
        agents(admin, tmp_path, 2, ports) as both,
    ):
        await soon(lambda: _connected(both, 1))
        for replicas in (3, 2, 1):
            await workspace.patch({"spec": {"apiServer": {"replicas": replicas}}})
            await soon(lambda wanted=replicas: _connected(both, wanted))
            await none_fails(admin, pod.hello)
    assert standin.started == started


async def test_with_another_certificate_agents_come_back_after_one_that_expired(
    workspace: Workspace, standin: StandIn, api_server: ApiServer, tmp_path: Path
) -> None:
    async with running(api_server, workspace.namespace):
        await workspace.make(network=ALWAYS)
        await workspace.until_ready()
    async with (
        workspace.business() as admin,
        a_pod(admin) as pod,
        agents(admin, tmp_path) as (agent,),
    ):
        assert await answer(admin, pod.hello) == SAYS
        # Nobody looked after the Cluster for a year, and then its API servers were restarted.
        await expire(workspace)
        before = await certificate(workspace)
        template = {"metadata": {"annotations": {"example.com/restarted": "once"}}}
        await workspace.patch({"spec": {"template": template}}, API_SERVER, kinds.DEPLOYMENT)
        await soon(lambda: _said(agent, "certificate has expired"))
        await soon(lambda: _without_agent(admin, pod.hello))
        async with running(api_server, workspace.namespace):
            assert await answer(admin, pod.hello) == SAYS
            assert await certificate(workspace) != before
            made = await workspace.until_ready()
            [shown] = [
                one
                for one in made["status"]["certificates"]
                if one["name"] == naming.konnectivity("shop")
            ]
            assert datetime.fromisoformat(shown["notAfter"]) > datetime.now(UTC)


async def test_a_node_whose_kubelet_does_not_answer_its_agent_is_named(
    workspace: Workspace, standin: StandIn, cluster_operator: Process, tmp_path: Path
) -> None:
    await workspace.make(network=ALWAYS)
    await workspace.until_ready()
    well, hangs = free_ports(2)
    async with workspace.business() as admin, agents(admin, tmp_path), kubelet(workspace, well):
        for name, port in (("n1", well), ("n2", hangs)):
            await a_node(admin, name, port)
        async with silent(hangs):
            found = await workspace.until_reason("KubeletsUnreachable", type_="ClusterReachable")
            said = condition(found, "ClusterReachable")["message"]
            assert "node n2: " in said
            assert "node n1" not in said
            assert "konnectivity-agent" in said
        async with kubelet(workspace, hangs):
            await workspace.until_reason("AsWanted", type_="ClusterReachable")


# --- both ends


@asynccontextmanager
async def agents(
    admin: Kube, directory: Path, count: int = 1, ports: list[int] | None = None
) -> AsyncIterator[list[Agent]]:
    """Some that are connected."""
    made = [Agent(admin, directory / f"agent-{number}", ports) for number in range(count)]
    try:
        for one in made:
            await one.start()
        await soon(lambda: _connected(made, 1))
        yield made
    finally:
        for one in made:
            await one.kill()


async def _connected(some: list[Agent], servers: int) -> bool:
    return {await one.servers() for one in some} == {servers}


async def _fewer(agent: Agent, most: int) -> bool:
    return await agent.connections() < most


async def _broken_off(held: Held, count: int) -> bool:
    done = [one for one in held.ends if one.done()]
    assert all(isinstance(one.exception(), aiohttp.ClientError) for one in done)
    return len(done) == count


async def _without_agent(admin: Kube, path: str) -> bool:
    """What is told to whoever asks."""
    try:
        await admin.raw("GET", path)
    except KubeError as error:
        return "No agent available" in error.message
    return False


async def _said(agent: Agent, words: str) -> bool:
    return words in agent.log()


async def none_fails(admin: Kube, path: str) -> None:
    """Some requests one after the other, each of which is answered."""
    for _ in range(ASKED):
        assert await admin.raw("GET", path) == SAYS


async def expire(workspace: Workspace) -> None:
    """The certificate of the tunnel's servers ended a moment ago."""
    secret = await workspace.there(kinds.SECRET, naming.konnectivity("shop"))
    ca = pki.ca_of(await workspace.there(kinds.SECRET, names.cluster_ca_secret("shop")))
    assert ca is not None
    spec = pki.LeafSpec(
        USER,
        dns_names=(f"shop.{workspace.namespace}.konnectivity.kok.internal",),
        usages=pki.Usage.BOTH,
        lifetime=timedelta(seconds=1),
    )
    leaf = pki.issue(ca, spec, datetime.now(UTC) - timedelta(minutes=1))
    data = {**secret["data"], **pki.tls_secret_data(leaf, ca.trust_pem)}
    await workspace.patch({"data": data}, secret["metadata"]["name"], kinds.SECRET)


def mebibytes(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def limit(container: Manifest) -> float:
    """What a container may have of memory, in MiB."""
    text: str = container["resources"]["limits"]["memory"]
    return float(text.removesuffix("Mi"))


# --- nodes


async def a_node(admin: Kube, name: str, port: int) -> None:
    """A node that is Ready, and its kubelet's port."""
    await admin.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    status = {
        "addresses": [{"type": "InternalIP", "address": own_address()}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    await admin.patch(kinds.NODE, name, None, {"status": status}, subresource="status")


@asynccontextmanager
async def kubelet(workspace: Workspace, port: int) -> AsyncIterator[None]:
    """One that says that it is well, with a certificate of the Cluster's CA."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    ca = pki.ca_of(await workspace.there(kinds.SECRET, names.cluster_ca_secret("shop")))
    assert ca is not None
    spec = pki.LeafSpec("kubelet", ip_addresses=(own_address(),), usages=pki.Usage.SERVER)
    context = _serving(pki.issue(ca, spec, datetime.now(UTC)))
    app = web.Application()
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, own_address(), port, ssl_context=context).start()
    try:
        yield
    finally:
        await runner.cleanup()


def _serving(leaf: pki.Leaf) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pki_file = Path("/dev/shm") / f"kok-test-{os.getpid()}.pem"  # noqa: S108 - for a moment
    pki_file.write_bytes(leaf.cert_pem + leaf.key_pem)
    try:
        context.load_cert_chain(pki_file)
    finally:
        pki_file.unlink()
    return context


@asynccontextmanager
async def silent(port: int) -> AsyncIterator[None]:
    """A host that takes connections to the kubelet's port, and a kubelet that says nothing."""

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(4096):
                pass
        writer.close()

    server = await asyncio.start_server(keep, own_address(), port)
    try:
        yield
    finally:
        server.close()
