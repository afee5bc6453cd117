"""Webhooks of a tenant that refuse whatever they are asked about, since nobody answers for them."""

from __future__ import annotations

from kok.api.meta import Kind, Manifest

KIND = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    namespaced=False,
)
NAME = "nobody-at-home"
WEBHOOK = "nobody.example.com"
"""By this name the API server tells who has refused."""


def refusing(group: str, resource: str) -> Manifest:
    """Refuses to have such objects made and changed."""
    rule = {
        "apiGroups": [group],
        "apiVersions": ["*"],
        "resources": [resource],
        "operations": ["CREATE", "UPDATE"],
    }
    return {
        "apiVersion": KIND.api_version,
        "kind": KIND.kind,
        "metadata": {"name": NAME},
        "webhooks": [
            {
                "name": WEBHOOK,
                "clientConfig": {"url": "https://127.0.0.1:1/"},
                "rules": [rule],
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 2,
            }
        ],
    }
