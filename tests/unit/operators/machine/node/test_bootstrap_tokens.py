"""Bootstrap tokens: one for a Machine, for minutes."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.operators.machine.builders import NOW

from kok import pki
from kok.api.names import MACHINE_BOOTSTRAPPERS
from kok.operators.machine.node import bootstrap_tokens
from kok.operators.machine.remote.join import ClusterEndpoint

ACCESS = ClusterEndpoint("https://192.0.2.10:31443", pki.new_ca("shop", NOW).cert_pem)


def test_a_token_is_for_one_machine_and_lives_for_minutes() -> None:
    made = bootstrap_tokens.secret("abc123", "team-a/w1", NOW)
    assert made["metadata"] == {"name": "bootstrap-token-abc123", "namespace": "kube-system"}
    token = bootstrap_tokens.usable(made, NOW)
    assert token
    assert token.startswith("abc123.")
    assert len(token) == 23
    assert bootstrap_tokens.usable(made, NOW + timedelta(minutes=9)) is None
    assert bootstrap_tokens.usable(None, NOW) is None
    # With kubeadm's group the certificate of any node would be granted.
    assert pki.decode(made, "auth-extra-groups") == MACHINE_BOOTSTRAPPERS.encode()
    text = bootstrap_tokens.bootstrap_kubeconfig(ACCESS, token)
    assert pki.parse_kubeconfig(text).credentials == pki.Token(token)


def test_a_damaged_token_is_none() -> None:
    made = bootstrap_tokens.secret("abc123", "team-a/w1", NOW)
    made["data"] |= pki.encode({"expiration": "tomorrow"})
    assert bootstrap_tokens.usable(made, NOW) is None
