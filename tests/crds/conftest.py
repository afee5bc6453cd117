"""The CRDs are tried on a real API server: the fixtures are those of the integration tests."""

from __future__ import annotations

from tests.integration.conftest import api_server, kok_crds, kube, namespace

__all__ = ["api_server", "kok_crds", "kube", "namespace"]
