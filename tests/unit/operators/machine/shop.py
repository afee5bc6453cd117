"""A meta cluster with the business cluster `shop`."""

from __future__ import annotations

from typing import Any

from tests.unit.operators.machine import builders

from kok import pki
from kok.api.meta import Manifest
from kok.kube.objects.ownership import owned


class Shop:
    """A meta cluster with a Cluster whose API is said to be at an address, and our Secret of it."""

    def __init__(self, address: str, **spec: Any) -> None:
        authority = pki.new_ca("shop-ca", builders.NOW)
        leaf = pki.issue(authority, pki.LeafSpec("kok:machine-operator"), builders.NOW)
        status = {
            "endpoint": address,
            "caFingerprints": {"shop-ca": pki.fingerprint(authority.cert_pem)},
            "conditions": [
                {
                    "type": "BootstrapReady",
                    "status": "True",
                    "reason": "AsWanted",
                    "message": "",
                    "lastTransitionTime": "2026-11-02T11:59:00Z",
                }
            ],
        }
        cluster = builders.cluster(status=status, **spec)
        entries = {
            pki.CA_CRT: authority.cert_pem,
            pki.TLS_CRT: leaf.cert_pem,
            pki.TLS_KEY: leaf.key_pem,
        }
        made = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "shop-operator-machine", "namespace": "team-a"},
            "data": pki.encode(entries),
        }
        self._there = {
            "shop": cluster.model_dump(mode="json", by_alias=True, exclude_none=True),
            "shop-operator-machine": owned(made, cluster),
        }

    async def get(
        self, _kind: Any, name: str, _namespace: str | None = None, **_: object
    ) -> Manifest | None:
        return self._there.get(name)
