"""A tunnel into a business cluster: real API servers, real servers and agents of konnectivity.

All are on this machine, where an API server would reach a pod's address itself. That it goes by the
tunnel shows where there is no agent: then it reaches nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.polling import eventually
from tests.integration.operators.cluster.conftest import ADDON, Workspace, soon
from tests.integration.operators.cluster.network.tunnelled import (
    SAYS,
    Agent,
    a_pod,
    answer,
    certificate,
    fails,
)
from tests.integration.operators.cluster.standin import StandIn

from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError, NotFound
from kok.operators.cluster import naming
from kok.runtime.process.main import Process

SERVERS = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


async def test_api_servers_reach_pods_by_agents_and_by_nothing_else(
    workspace: Workspace, standin: StandIn, cluster_operator: Process, tmp_path: Path
) -> None:
    await workspace.make(network={"tunnel": "Always"})
    await workspace.until_ready()
    async with workspace.business() as admin, a_pod(admin) as pod:
        agent = Agent(admin, tmp_path)
        try:
            # There is no node, and no agent: the API answers, and says what is missing.
            with pytest.raises(KubeError, match="No agent available"):
                await admin.raw("GET", pod.hello)
            await agent.start()
            assert await answer(admin, pod.hello) == SAYS

            # A lost agent is missed, and another one found.
            await agent.kill()
            await eventually(lambda: fails(admin, pod.hello), 60.0)
            await agent.start()
            assert await answer(admin, pod.hello) == SAYS

            # Another certificate restarts the servers, which read it once, and agents come back.
            before = await certificate(workspace)
            await workspace.delete(kinds.SECRET, naming.konnectivity("shop"))
            await soon(lambda: _other_certificate(workspace, before))
            await workspace.until_ready()
            assert await answer(admin, pod.hello) == SAYS

            # Without a tunnel it is reached straight, nothing is left, and nothing else changed.
            await workspace.patch({"spec": {"network": {"tunnel": "Never"}}})
            await workspace.until_gone("shop-konnectivity-agent", ADDON)
            await agent.kill()
            assert await answer(admin, pod.hello) == SAYS
            for kind in (kinds.SERVICE, kinds.SECRET):
                await workspace.until_gone(naming.konnectivity("shop"), kind)
            assert await certificate(workspace) is None
        finally:
            await agent.kill()


async def test_servers_tell_of_themselves_by_leases_and_take_nobody_elses_tokens(
    workspace: Workspace, standin: StandIn, cluster_operator: Process, tmp_path: Path
) -> None:
    await workspace.make(network={"tunnel": "Always"})
    await workspace.until_ready()
    async with workspace.business() as admin, a_pod(admin) as pod:
        await soon(lambda: _leases(admin))
        agent = Agent(admin, tmp_path)
        try:
            await agent.start()
            assert await answer(admin, pod.hello) == SAYS
            await agent.kill()
            since = len(agent.log())
            # A token for something else, as pods have it, is none for the tunnel.
            await agent.start("https://kubernetes.default.svc.cluster.local")
            # The server ends the stream before it says who it is.
            await eventually(lambda: _said(agent, "cannot connect once", since), 60.0)
            with pytest.raises(KubeError, match="No agent available"):
                await admin.raw("GET", pod.hello)
        finally:
            await agent.kill()


async def _other_certificate(workspace: Workspace, before: str | None) -> bool:
    return await certificate(workspace) not in {None, before}


async def _leases(admin: Kube) -> bool:
    try:
        found = await admin.raw(
            "GET", SERVERS, query={"labelSelector": "k8s-app=konnectivity-server"}
        )
    except NotFound:
        return False
    return bool(found["items"])


async def _said(agent: Agent, words: str, since: int) -> bool:
    return words in agent.log()[since:]
