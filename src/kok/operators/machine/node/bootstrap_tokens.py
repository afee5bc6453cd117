"""Bootstrap tokens: one for a Machine, minutes long."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta

from kok.api.meta import Manifest
from kok.api.names import MACHINE_BOOTSTRAPPERS
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.machine.remote.join import ClusterEndpoint
from kok.pki import Token, bootstrap_token, encode, kubeconfig
from kok.runtime.clock import Clock

NAMESPACE = "kube-system"
LIFETIME = timedelta(minutes=10)
LEAST = timedelta(minutes=2)
"""A token with less time left is not used any more."""

_TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")
_LONGEST = 128
"""Characters of a part of it in base64."""


def new_id() -> str:
    """The public half of a token."""
    return bootstrap_token().id


def secret_name(token_id: str) -> str:
    """The Secret of a token."""
    return f"bootstrap-token-{token_id}"


def secret(token_id: str, machine: str, now: datetime) -> Manifest:
    """The Secret of a new token; `machine` is `namespace/name`."""
    ends = (now + LIFETIME).astimezone(UTC)
    data = {
        "description": f"lets Machine {machine} join",
        "token-id": token_id,
        "token-secret": bootstrap_token().secret,
        "expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "usage-bootstrap-authentication": "true",
        # Not kubeadm's group, whose requests for any node's certificate are granted unseen.
        "auth-extra-groups": MACHINE_BOOTSTRAPPERS,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret_name(token_id), "namespace": NAMESPACE},
        "type": "bootstrap.kubernetes.io/token",
        "data": encode({key: value.encode() for key, value in data.items()}),
    }


def usable(found: Manifest | None, now: datetime) -> str | None:
    """The token of a Secret that lives for some time still, else None."""
    data = (found or {}).get("data")
    parts = [_decoded(data, key) for key in ("token-id", "token-secret", "expiration")]
    token, expiration = f"{parts[0]}.{parts[1]}", parts[2]
    if not _TOKEN.fullmatch(token):
        return None
    try:
        ends = datetime.fromisoformat(expiration)
        return token if ends - now > LEAST else None
    except (ValueError, TypeError):
        return None  # Not a time, or one without a zone.


def _decoded(data: object, key: str) -> str:
    value = data.get(key) if isinstance(data, dict) else None
    try:
        if isinstance(value, str) and len(value) <= _LONGEST:
            return base64.b64decode(value, validate=True).decode("ascii")
    except ValueError:
        pass  # Somebody else wrote it.
    return ""


def bootstrap_kubeconfig(endpoint: ClusterEndpoint, token: str) -> str:
    """With what a kubelet introduces itself."""
    return kubeconfig("kubernetes", endpoint.server, endpoint.ca, "bootstrap", Token(token))


async def ensure(
    kube: Kube, ident: str, machine: str, endpoint: ClusterEndpoint, clock: Clock
) -> str:
    """The kubeconfig with the token of that ID, made anew if need be. Raises `KubeError`."""
    now = clock.now()
    there, token = await _token(kube, ident, now)
    if token is None:
        if there:
            await kube.delete(kinds.SECRET, secret_name(ident), NAMESPACE)
        token = usable(await kube.create(secret(ident, machine, now)), now)
    return bootstrap_kubeconfig(endpoint, token or "")


async def _token(kube: Kube, ident: str, now: datetime) -> tuple[bool, str | None]:
    """Whether there is a Secret of that token, and the token if it is good for some time."""
    found = await kube.get(kinds.SECRET, secret_name(ident), NAMESPACE)
    return found is not None, usable(found, now)
