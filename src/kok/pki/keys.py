"""Keys and tokens that are not certificates. Randomness is the operating system's."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kok.pki import pem

_TOKEN_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class KeyPair:
    """A private key (PKCS#8) and its public half (SubjectPublicKeyInfo), both PEM."""

    private_pem: bytes = field(repr=False)
    public_pem: bytes


@dataclass(frozen=True)
class BootstrapToken:
    """A kubeadm bootstrap token: `id` is public (it names the Secret), `secret` is not."""

    id: str
    secret: str = field(repr=False)

    @property
    def token(self) -> str:
        """`<id>.<secret>`, what a joining host presents."""
        return f"{self.id}.{self.secret}"


def service_account_keys() -> KeyPair:
    """A key pair to sign and check service-account tokens: RSA with 2048 bits, so RS256.

    kube-apiserver and kube-controller-manager sign with ECDSA too (ES256 for P-256), and for
    them alone it would do. But the tokens also leave the cluster: OpenID Connect Discovery asks
    every issuer for RS256, and identity providers that clouds and vaults put in front of their
    resources do not all take ES256. It is also what kubeadm makes. Takes 50 to 300 ms of CPU,
    once a cluster: call it in a thread.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return KeyPair(pem.dump_private_key(key), public_pem_of(pem.dump_private_key(key)))


def public_pem_of(private_pem: bytes) -> bytes:
    """The public half of a private key that signs, PEM. Raises `PkiError` when it cannot be used."""
    return (
        pem.load_signing_key(private_pem)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def encryption_key() -> bytes:
    """32 random bytes for `secretbox` in an EncryptionConfiguration (which wants them in base64)."""
    return secrets.token_bytes(32)


def bootstrap_token() -> BootstrapToken:
    """A new token of the form `[a-z0-9]{6}.[a-z0-9]{16}`: 82 bits of secret."""
    return BootstrapToken(_random_text(6), _random_text(16))


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_TOKEN_ALPHABET) for _ in range(length))
