"""Charts and artifacts out of real repositories, by the real helm, into a real business cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer, find_binary
from tests.integration.operators.cluster.conftest import (
    ADDON,
    Workspace,
    condition,
    running,
    soon,
)
from tests.integration.operators.cluster.standin import StandIn
from tests.unit.operators.cluster.addon.sources.repositories import Repositories, chart, packed
from tests.unit.repository.chart.conftest import HELM_VERSION

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube

TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: of-artifact, namespace: default}
data: {word: {{ values.word | json }}}
"""


@pytest.fixture
async def repositories(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Repositories]:
    """On this machine, which the operator may otherwise not ask."""
    monkeypatch.setenv("KOK_FORBIDDEN_RANGES", "")
    monkeypatch.setenv("KOK_HELM", find_binary("helm", HELM_VERSION, "KOK_TEST_HELM"))
    async with Repositories() as server:
        yield server


async def addon(workspace: Workspace, name: str, source: dict[str, Any], **spec: Any) -> None:
    """An Addon with this source."""
    meta = {"name": name, "namespace": workspace.namespace}
    whole = {"cluster": "shop", "source": source, **spec}
    manifest: Manifest = {
        "apiVersion": ADDON.api_version,
        "kind": ADDON.kind,
        "metadata": meta,
        "spec": whole,
    }
    await workspace.kube.create(manifest)


async def secret(workspace: Workspace, name: str, **data: str) -> None:
    """A Secret, made or changed."""
    meta = {"name": name, "namespace": workspace.namespace}
    await workspace.kube.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}
    )


async def data(admin: Kube, name: str, namespace: str) -> dict[str, str] | None:
    """What a ConfigMap of the business cluster holds."""
    live = await admin.get(kinds.CONFIGMAP, name, namespace)
    return None if live is None else dict(live["data"])


async def test_a_chart_and_an_artifact_live_through_what_repositories_do(
    workspace: Workspace,
    api_server: ApiServer,
    namespace: str,
    standin: StandIn,
    repositories: Repositories,
) -> None:
    server = repositories
    server.login = ("me", "pass-word-1")
    server.add(chart())
    server.add(chart("1.3.0"), "1.3.0")
    server.push("team/addon", "1.0", packed({"a.yaml.j2": TEMPLATE, "values.yaml": "word: hi"}))
    helm = {"repository": server.url, "chart": "demo", "version": "~1.2", "ca": server.ca}
    helm |= {"namespace": "web", "createNamespace": True, "secret": "login"}
    async with running(api_server, namespace):
        await workspace.make()
        await workspace.until_ready()
        async with workspace.business() as admin:
            await addon(workspace, "web", {"helm": helm}, valuesFrom=[{"secret": "words"}])
            # Each thing that is missing is told, and noticed as soon as it is there.
            told = await workspace.until_reason("ValuesMissing", "web", kind=ADDON)
            assert f"Secret {namespace}/words" in condition(told)["message"]
            await secret(workspace, "words", **{"values.yaml": "word: secret-word-1"})
            told = await workspace.until_reason("SecretMissing", "web", kind=ADDON)
            assert f"Secret {namespace}/login does not exist" in condition(told)["message"]
            await secret(workspace, "login", username="me", password="pass-word-1")
            made = await workspace.until_reason("AsWanted", "web", kind=ADDON)
            assert made["status"]["version"] == "1.2.0"
            assert made["status"]["source"]["url"] == f"{server.url}/demo-1.2.0.tgz"
            found = await data(admin, "web-config", "web")
            assert found is not None
            assert (found["word"], found["replicas"]) == ("secret-word-1", "2")

            # A Secret that changes changes what is applied, and stands nowhere else.
            await secret(workspace, "words", **{"values.yaml": "word: secret-word-2"})
            await soon(lambda: _word(admin, "web-config", "web", "secret-word-2"))
            await secret(workspace, "words", **{"values.yaml": "word: x\nreplicas: secret-word-3"})
            told = await workspace.until_reason("ValuesInvalid", "web", kind=ADDON)
            assert (
                "values.replicas: must be of type integer, not string"
                in (condition(told)["message"])
            )
            assert "secret-word" not in str(told)
            assert await _word(admin, "web-config", "web", "secret-word-2")
            await secret(workspace, "words", **{"values.yaml": "word: secret-word-4"})
            await workspace.until_reason("AsWanted", "web", kind=ADDON)

            oci = {"reference": f"{server.host}/team/addon:1.0", "ca": server.ca}
            await addon(workspace, "packed", {"oci": {**oci, "secret": "login"}})
            made = await workspace.until_reason("AsWanted", "packed", kind=ADDON)
            assert made["status"]["source"]["digest"].startswith("sha256:")
            assert await _word(admin, "of-artifact", "default", "hi")

    # An operator that begins while the repositories are away keeps what is there.
    server.down = True
    async with running(api_server, namespace), workspace.business() as admin:
        for name in ("web", "packed"):
            told = await workspace.until_reason("SourceUnreachable", name, kind=ADDON)
            assert "answers with status 503" in condition(told)["message"]
            assert condition(told, "Applied")["status"] == "True"
            assert condition(told)["status"] == "False"
        assert await _word(admin, "web-config", "web", "secret-word-4")
        assert await _word(admin, "of-artifact", "default", "hi")
        server.down = False
        # It would be asked again within half a minute; whoever cannot wait changes something.
        poke = {"metadata": {"annotations": {"kok.dev/poke": "1"}}}
        await workspace.patch(poke, "web", ADDON)
        await workspace.until_reason("AsWanted", "web", kind=ADDON)

        await workspace.patch({"spec": {"kubernetes": "<1.37"}}, "web", ADDON)
        told = await workspace.until_reason("KubernetesUnsupported", "web", kind=ADDON)
        assert "runs Kubernetes 1.37.1, and spec.kubernetes is <1.37" in condition(told)["message"]
        another = {"spec": {"kubernetes": None, "source": {"helm": {"version": "1.3.0"}}}}
        await workspace.patch(another, "web", ADDON)
        await workspace.until(
            lambda m: condition(m).get("status") == "True" and m["status"]["version"] == "1.3.0",
            "web",
            ADDON,
        )
        for name in ("web", "packed"):
            await workspace.delete(ADDON, name)
        # No controller of the stand-in empties a namespace that goes.
        await soon(lambda: _gone(admin, "web-config", "web"))
        await soon(lambda: _gone(admin, "of-artifact", "default"))


async def _word(admin: Kube, name: str, namespace: str, word: str) -> bool:
    return ((await data(admin, name, namespace)) or {}).get("word") == word


async def _gone(admin: Kube, name: str, namespace: str) -> bool:
    return await data(admin, name, namespace) is None
