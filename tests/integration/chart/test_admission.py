"""What RBAC cannot say: of a Secret the machine operator changes the finalizer and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.conftest import PATIENCE
from tests.integration.rights import chart, operator_access

from kok.api.meta import Kind
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import InvalidObject, KubeError
from kok.operators.machine.host.ssh_secrets import FINALIZER, hold


def _policy(kind: str) -> Kind:
    plural = {"ValidatingAdmissionPolicy": "ies"}.get(kind, "ybindings")
    name = "validatingadmissionpolic" + plural
    return Kind("admissionregistration.k8s.io", "v1", kind, name, namespaced=False)


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"password": "c3RvbGVu"}},
        {"metadata": {"labels": {"kok.dev/cluster": "other"}}},
        {"metadata": {"annotations": {"a": "b"}}},
        {"metadata": {"finalizers": ["example.com/theirs", "example.com/another"]}},
        {"metadata": {"finalizers": [FINALIZER]}},
    ],
)
async def test_the_machine_operator_changes_nothing_of_secrets_but_its_finalizer(
    api_server: ApiServer, kube: Kube, namespace: str, change: dict[str, Any]
) -> None:
    access = await operator_access(api_server, kube, namespace, "machine")
    made = [m for m in chart(namespace, namespace) if "AdmissionPolicy" in m["kind"]]
    for manifest in made:
        await kube.create(manifest)
    try:
        secret = await kube.create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": "ops-ssh",
                    "namespace": namespace,
                    "finalizers": ["example.com/theirs"],
                },
                "data": {"password": "b3du"},
            }
        )
        async with Kube(access, field_manager="kok-machine") as operator:
            await hold(operator, secret)
            async with asyncio.timeout(PATIENCE):
                # The policy takes effect a moment after it was made.
                while True:
                    try:
                        await operator.patch(kinds.SECRET, "ops-ssh", namespace, change)
                    except (KubeError, InvalidObject) as error:
                        assert "the machine operator changes no" in error.message  # noqa: PT017
                        break
                    await asyncio.sleep(0.1)
                    await kube.patch(
                        kinds.SECRET,
                        "ops-ssh",
                        namespace,
                        {
                            "data": {"password": "b3du"},
                            "metadata": {
                                "labels": None,
                                "annotations": None,
                                "finalizers": ["example.com/theirs", FINALIZER],
                            },
                        },
                    )
            live = await kube.get(kinds.SECRET, "ops-ssh", namespace)
            assert live
            assert live["metadata"]["finalizers"] == ["example.com/theirs", FINALIZER]
            # And its own it may take away again.
            own = {"metadata": {"finalizers": ["example.com/theirs"]}}
            await operator.patch(kinds.SECRET, "ops-ssh", namespace, own)
    finally:
        for manifest in made:
            await kube.delete(_policy(manifest["kind"]), manifest["metadata"]["name"])
