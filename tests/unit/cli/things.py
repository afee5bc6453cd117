"""What tests of the `kok` command have in common."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.unit.fakeapi import FakeApi
from typer.testing import CliRunner, Result

from kok import pki
from kok.api import Cluster
from kok.cli.main import app
from kok.kube.objects.ownership import owned

ROOT = Path(__file__).parents[3]


NOW = datetime(2026, 1, 2, tzinfo=UTC)


def kok(*arguments: str, input: str | None = None) -> Result:  # noqa: A002 - as of typer
    """Runs the command."""
    return CliRunner().invoke(app, list(arguments), input=input)


Run = Callable[..., Any]


def cluster(namespace: str = "ns", **status: Any) -> dict[str, Any]:
    """A Cluster."""
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {
            "name": "demo",
            "namespace": namespace,
            "creationTimestamp": "2026-01-01T22:00:00Z",
        },
        "status": status,
    }


def condition(status: str, reason: str, message: str = "") -> dict[str, Any]:
    """A status with `Ready`."""
    return {
        "phase": "Creating",
        "conditions": [{"type": "Ready", "status": status, "reason": reason, "message": message}],
    }


PATH = "/apis/kok.dev/v1alpha1/namespaces/{}/clusters/demo"


SECRET = "/api/v1/namespaces/ns/secrets/demo-kubeconfig"


CA = pki.new_ca("demo-ca", datetime.now(UTC))


def admins(server: str) -> str:
    """The kubeconfig that KOK writes."""
    leaf = pki.issue(CA, pki.LeafSpec("kubernetes-admin"), datetime.now(UTC))
    return pki.kubeconfig("ns/demo", server, CA.cert_pem, "ns/demo", leaf, context_name="ns/demo")


def lay(api: FakeApi, text: str, *, own: bool = True) -> None:
    """A Cluster, and a kubeconfig in its Secret."""
    made = api.put(PATH.format("ns"), {**cluster(), "spec": {"version": "1.37.1"}})
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "demo-kubeconfig", "namespace": "ns"},
        "data": pki.encode({"kubeconfig": text}),
    }
    api.put(SECRET, owned(secret, Cluster.parse(made)) if own else secret)


CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
