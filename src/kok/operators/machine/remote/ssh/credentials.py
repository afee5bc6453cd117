"""From a Secret to what proves to a host who we are."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

import asyncssh
from asyncssh.packet import PacketDecodeError, SSHPacket

from kok.api.meta import Manifest
from kok.pki import effort
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.sandbox.process import Limits, TooMuch, Unfinished

PRIVATE_KEY = "ssh-privatekey"
PASSPHRASE = "passphrase"  # noqa: S105 - the name of a key in a Secret
PASSWORD = "password"  # noqa: S105 - likewise
SUDO_PASSWORD = "sudo-password"  # noqa: S105 - likewise


LIMITS = Limits(memory=64, output=1)
NO_KEY = "is not a private key; put in the file that ssh-keygen wrote"
TOO_LARGE = "has more than 4096 bits; use RSA with 2048 to 4096 bits, or Ed25519"
_OPENSSH = b"openssh-key-v1\0"
_CURVES = (b"ssh-ed25519", b"ecdsa-sha2-nistp")


class CredentialsError(Exception):
    """The Secret cannot be used; the message names it and says what to put in."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A private key, a password, or both (the key is tried first)."""

    key: asyncssh.SSHKey | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sudo: str | None = field(default=None, repr=False)
    """The password that sudo gets if it asks for one."""
    digest: str = ""
    """Changes when the Secret's content does."""


def missing(namespace: str, name: str) -> str:
    """The sentence for a Secret that is not there."""
    return (
        f'Secret {namespace}/{name} does not exist; create it with key "{PRIVATE_KEY}" or '
        f'"{PASSWORD}"'
    )


class Keyring:
    """Makes credentials of Secrets, each content once."""

    def __init__(self, sandboxes: SandboxPool, limits: Limits = LIMITS) -> None:
        """`limits`: what reading one key may take."""
        self._sandboxes = sandboxes
        self._limits = limits

    async def credentials(self, secret: Manifest) -> Credentials:
        """What a Secret holds. Raises `CredentialsError`.

        A key of which nobody can tell beforehand how much work it is, as of every encrypted one
        (whoever wrote it chose how often its passphrase is to be hashed), is read aside.
        """
        meta = secret["metadata"]
        name = f"Secret {meta.get('namespace')}/{meta['name']}"
        data: Mapping[str, str] = secret.get("data") or {}
        found = {
            key: _decoded(name, key, data[key])
            for key in (PRIVATE_KEY, PASSPHRASE, PASSWORD, SUDO_PASSWORD)
            if data.get(key)
        }
        if PRIVATE_KEY not in found and PASSWORD not in found:
            raise CredentialsError(
                f'{name} has neither key "{PRIVATE_KEY}" nor key "{PASSWORD}"; add one of them'
            )
        given = (PRIVATE_KEY, PASSPHRASE, PASSWORD, SUDO_PASSWORD)
        digest = hashlib.sha256(b"\0".join(found.get(key, b"") for key in given)).hexdigest()[:16]
        key = found.get(PRIVATE_KEY)
        private = (
            await self._private(meta.get("namespace") or "", name, key, found) if key else None
        )
        password = _text(name, PASSWORD, found)
        return Credentials(private, password, _text(name, SUDO_PASSWORD, found) or password, digest)

    async def _private(
        self, namespace: str, name: str, key: bytes, found: Mapping[str, bytes]
    ) -> asyncssh.SSHKey:
        what = f'key "{PRIVATE_KEY}" of {name}'
        block = effort.private_block(key)
        if block is None:
            raise CredentialsError(f"{what} {NO_KEY}")
        text = block[1]
        if not _quick(*block):
            secret = found.get(PASSPHRASE, b"").rstrip(b"\r\n") or None
            text = await self._revealed(namespace, what, text, secret)
        return _imported(what, text)

    async def _revealed(
        self, namespace: str, what: str, block: bytes, passphrase: bytes | None
    ) -> bytes:
        """The key as PKCS#8 that is not encrypted."""
        given = (block, passphrase)
        digest = hashlib.sha256(b"\0".join((block, passphrase or b""))).hexdigest()
        try:
            said = await self._sandboxes.run(
                namespace, reveal, given, digest=f"ssh {digest}", limits=self._limits
            )
        except TooMuch as error:
            raise CredentialsError(
                f"{what} {error} to read; use RSA with 2048 to 4096 bits or Ed25519, and at most "
                "100 rounds for its passphrase, as `ssh-keygen -p -a 100` sets them"
            ) from None
        except Unfinished as error:
            raise CredentialsError(f"{what}: reading it {error}; it is tried again") from None
        if "problem" in said:
            raise CredentialsError(f"{what} {said['problem']}")
        revealed = str(said["key"]).encode()
        if effort.too_large(effort.der_of(revealed)):
            raise CredentialsError(f"{what} {TOO_LARGE}")
        return revealed


def reveal(given: tuple[bytes, bytes | None]) -> dict[str, str]:
    """A private key without its passphrase, or the problem with it: fit for JSON."""
    block, passphrase = given
    try:
        key = asyncssh.import_private_key(block, passphrase)
        return {"key": key.export_private_key("pkcs8-pem").decode()}
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as error:
        # Whether it is encrypted at all shows only in the sentence.
        locked = isinstance(error, asyncssh.KeyEncryptionError) or "assphrase" in str(error)
    except asyncssh.KeyExportError:
        return {"problem": "is of a kind that cannot be used; use Ed25519, ECDSA or RSA"}
    if not locked:
        return {"problem": NO_KEY}
    if passphrase is None:
        return {"problem": f'is encrypted; add its passphrase as key "{PASSPHRASE}"'}
    return {"problem": f'cannot be decrypted with key "{PASSPHRASE}"; correct one of them'}


def _quick(name: bytes, block: bytes) -> bool:
    """Whether it is sure that reading the key takes no time worth speaking of."""
    der = effort.der_of(block)
    if name == b"OPENSSH PRIVATE KEY":
        return _plain_curve(der)
    return name != b"ENCRYPTED PRIVATE KEY" and bool(der) and not effort.too_large(der)


def _plain_curve(content: bytes) -> bool:
    """Whether a key in OpenSSH's format is on a curve, so that it is short, and not encrypted."""
    try:
        if not content.startswith(_OPENSSH):
            return False
        packet = SSHPacket(content[len(_OPENSSH) :])
        cipher, _kdf, _options, _count = (
            packet.get_string(),
            packet.get_string(),
            packet.get_string(),
            packet.get_uint32(),
        )
        packet.get_string()  # the public half
        private = SSHPacket(packet.get_string())
        private.get_uint64()  # two equal numbers that show whether it was decrypted well
        return cipher == b"none" and private.get_string().startswith(_CURVES)
    except PacketDecodeError:
        return False


@lru_cache(maxsize=256)
def _imported(what: str, text: bytes) -> asyncssh.SSHKey:
    with suppress(asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        return asyncssh.import_private_key(text)
    # Outside of the handler: a cause in the log might quote the key.
    raise CredentialsError(f"{what} {NO_KEY}")


def _text(name: str, key: str, found: Mapping[str, bytes]) -> str | None:
    try:
        password = found.get(key, b"").decode().rstrip("\r\n") or None
    except UnicodeDecodeError:
        raise CredentialsError(f'key "{key}" of {name} is not text') from None
    if password is not None and "\n" in password:
        raise CredentialsError(f'key "{key}" of {name} has several lines; write a password in one')
    return password


def _decoded(name: str, key: str, value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise CredentialsError(f'key "{key}" of {name} is not base64') from None
