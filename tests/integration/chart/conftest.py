"""The chart on a real API server, with the stand-in for pods of the etcd operator's tests."""

from __future__ import annotations

from tests.integration.operators.etcd.conftest import etcd_crd, standin

__all__ = ["etcd_crd", "standin"]
