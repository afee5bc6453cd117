"""SSH credentials from Secrets: what may be in them, and what people are told otherwise."""

from __future__ import annotations

import base64
from typing import Any

import asyncssh
import pytest

from kok.operators.machine.remote.ssh import Credentials, CredentialsError, Keyring
from kok.pki import encode
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.sandbox.process import Limits, TooMuch, run_limited

KEY = asyncssh.generate_private_key("ssh-ed25519")
PLAIN = KEY.export_private_key()
RSA = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
LOCKED = KEY.export_private_key(passphrase="s3cret", rounds=50)


def secret(**data: str | bytes) -> dict[str, Any]:
    named = {key.replace("_", "-"): value for key, value in data.items()}
    return {"metadata": {"namespace": "team-a", "name": "ops-ssh"}, "data": encode(named)}


async def credentials_of(given: dict[str, Any]) -> Credentials:
    return await Keyring(SandboxPool()).credentials(given)


async def refused(given: dict[str, Any]) -> str:
    with pytest.raises(CredentialsError) as error:
        await credentials_of(given)
    return str(error.value)


async def test_a_key_a_password_or_both() -> None:
    both = await credentials_of(secret(ssh_privatekey=PLAIN, password="p\n"))
    assert both.key == KEY
    assert both.password == "p"
    assert (await credentials_of(secret(ssh_privatekey=PLAIN))).password is None
    assert (await credentials_of(secret(password="p"))).key is None


async def test_sudo_has_a_password_of_its_own_or_that_of_the_login() -> None:
    own = await credentials_of(secret(ssh_privatekey=PLAIN, sudo_password="s\n"))
    assert (own.sudo, own.password) == ("s", None)
    both = await credentials_of(secret(password="p", sudo_password="s"))
    assert (both.sudo, both.password) == ("s", "p")
    assert (await credentials_of(secret(password="p"))).sudo == "p"
    assert both != await credentials_of(secret(password="p", sudo_password="t"))
    text = await refused(secret(ssh_privatekey=PLAIN, sudo_password="a\nb"))
    assert text.endswith("has several lines; write a password in one")


async def test_a_key_with_a_passphrase() -> None:
    assert (await credentials_of(secret(ssh_privatekey=LOCKED, passphrase="s3cret\n"))).key == KEY


async def test_other_content_means_other_credentials() -> None:
    assert await credentials_of(secret(password="a")) != await credentials_of(secret(password="b"))
    assert await credentials_of(secret(password="a")) == await credentials_of(secret(password="a"))


async def test_nothing_secret_shows_in_a_representation() -> None:
    shown = repr(await credentials_of(secret(ssh_privatekey=PLAIN, password="hunter2")))
    assert "hunter2" not in shown
    assert "PRIVATE" not in shown


async def test_each_mistake_has_its_sentence() -> None:
    assert await refused(secret(token="x")) == (
        'Secret team-a/ops-ssh has neither key "ssh-privatekey" nor key "password"; add one of them'
    )
    assert await refused(secret(ssh_privatekey=LOCKED)) == (
        'key "ssh-privatekey" of Secret team-a/ops-ssh is encrypted; add its passphrase as key '
        '"passphrase"'
    )
    assert "cannot be decrypted with" in await refused(
        secret(ssh_privatekey=LOCKED, passphrase="wrong")
    )
    assert await refused(secret(ssh_privatekey="rubbish")) == (
        'key "ssh-privatekey" of Secret team-a/ops-ssh is not a private key; put in the file that '
        "ssh-keygen wrote"
    )
    broken = secret(password="x")
    broken["data"]["password"] = "!"
    assert await refused(broken) == 'key "password" of Secret team-a/ops-ssh is not base64'
    assert "is not text" in await refused(secret(password=b"\xff\xfe"))


def endless(rounds: int) -> bytes:
    """The locked key, which claims that its passphrase was hashed so often."""
    lines = LOCKED.splitlines()
    der = base64.b64decode(b"".join(lines[1:-1]))
    changed = der.replace((50).to_bytes(4), rounds.to_bytes(4), 1)
    assert changed != der
    return b"\n".join([lines[0], base64.b64encode(changed), lines[-1], b""])


async def test_a_key_that_takes_for_ever_to_decrypt_is_refused_and_not_tried_again() -> None:
    tries = 0

    async def counted(*given: Any) -> Any:
        nonlocal tries
        tries += 1
        return await run_limited(*given)

    keyring = Keyring(SandboxPool(run=counted), Limits(cpu=1, wall=600.0))
    given = secret(ssh_privatekey=endless(2**32 - 1), passphrase="s3cret")
    for _ in range(2):
        with pytest.raises(CredentialsError, match=r"took longer than 1 s to read.*ssh-keygen -p"):
            await keyring.credentials(given)
    assert tries == 1


async def test_an_rsa_key_of_too_many_bits_is_refused_before_the_loop_works_on_it() -> None:
    # Such a key takes minutes to make; one that only looks like it is told by its lengths.
    numbers = [0, 2**8191 + 1, 65537, 2**8190 + 1, 2**4095 + 1, 2**4095 + 3, 3, 3, 3]
    der = asyncssh.asn1.der_encode(tuple(numbers))
    name = b"RSA PRIVATE KEY"
    text = b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (name, base64.b64encode(der), name)
    asked: list[object] = []

    async def noted(*given: Any) -> Any:
        asked.append(given)
        raise TooMuch("took longer than 5 s")

    keyring = Keyring(SandboxPool(run=noted))
    with pytest.raises(CredentialsError, match="use RSA with 2048 to 4096 bits or Ed25519"):
        await keyring.credentials(secret(ssh_privatekey=text))
    assert asked, "read aside"
    with pytest.raises(CredentialsError, match="is not a private key"):
        await keyring.credentials(secret(ssh_privatekey=PLAIN + b"x" * 100_000))


@pytest.mark.parametrize(
    "key",
    [
        KEY.export_private_key("pkcs8-pem"),
        KEY.export_private_key("pkcs8-pem", passphrase="s3cret"),
        asyncssh.generate_private_key("ecdsa-sha2-nistp384").export_private_key("pkcs1-pem"),
        RSA.export_private_key("pkcs1-pem", passphrase="s3cret"),
        RSA.export_private_key("openssh"),
    ],
    ids=["plain PKCS#8", "locked PKCS#8", "SEC 1", "locked PKCS#1", "RSA in OpenSSH's format"],
)
async def test_every_usual_form_of_key_is_read(key: bytes) -> None:
    found = await credentials_of(secret(ssh_privatekey=key, passphrase="s3cret"))
    assert found.key == asyncssh.import_private_key(key, "s3cret")
