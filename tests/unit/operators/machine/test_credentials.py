"""SSH credentials from Secrets: what may be in them, and what people are told otherwise."""

from __future__ import annotations

from typing import Any

import asyncssh
import pytest

from kok.operators.machine.ssh import CredentialsError, credentials_of
from kok.pki import encode

KEY = asyncssh.generate_private_key("ssh-ed25519")
PLAIN = KEY.export_private_key()
LOCKED = KEY.export_private_key(passphrase="s3cret", rounds=50)


def secret(**data: str | bytes) -> dict[str, Any]:
    named = {key.replace("_", "-"): value for key, value in data.items()}
    return {"metadata": {"namespace": "team-a", "name": "ops-ssh"}, "data": encode(named)}


def refused(given: dict[str, Any]) -> str:
    with pytest.raises(CredentialsError) as error:
        credentials_of(given)
    return str(error.value)


def test_a_key_a_password_or_both() -> None:
    both = credentials_of(secret(ssh_privatekey=PLAIN, password="p\n"))
    assert both.key == KEY
    assert both.password == "p"
    assert credentials_of(secret(ssh_privatekey=PLAIN)).password is None
    assert credentials_of(secret(password="p")).key is None


def test_a_key_with_a_passphrase() -> None:
    assert credentials_of(secret(ssh_privatekey=LOCKED, passphrase="s3cret\n")).key == KEY


def test_other_content_means_other_credentials() -> None:
    assert credentials_of(secret(password="a")) != credentials_of(secret(password="b"))
    assert credentials_of(secret(password="a")) == credentials_of(secret(password="a"))


def test_nothing_secret_shows_in_a_representation() -> None:
    shown = repr(credentials_of(secret(ssh_privatekey=PLAIN, password="hunter2")))
    assert "hunter2" not in shown
    assert "PRIVATE" not in shown


def test_each_mistake_has_its_sentence() -> None:
    assert refused(secret(token="x")) == (
        'Secret team-a/ops-ssh has neither key "ssh-privatekey" nor key "password"; add one of them'
    )
    assert refused(secret(ssh_privatekey=LOCKED)) == (
        'key "ssh-privatekey" of Secret team-a/ops-ssh is encrypted; add its passphrase as key '
        '"passphrase"'
    )
    assert "cannot be decrypted with" in refused(secret(ssh_privatekey=LOCKED, passphrase="wrong"))
    assert refused(secret(ssh_privatekey="rubbish")) == (
        'key "ssh-privatekey" of Secret team-a/ops-ssh is not a private key; put in the file that '
        "ssh-keygen wrote"
    )
    broken = secret(password="x")
    broken["data"]["password"] = "!"
    assert refused(broken) == 'key "password" of Secret team-a/ops-ssh is not base64'
    assert "is not text" in refused(secret(password=b"\xff\xfe"))
