"""The S3 server as tests see it."""

from __future__ import annotations

import contextlib
import ssl
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from e2e.lab.cluster.state import State, Store
from e2e.lab.errors import LabError
from e2e.lab.services import s3
from e2e.lab.services.s3 import S3

STATE = State(
    name="kok",
    subnet=IPv4Network("172.20.1.0/24"),
    pod_cidr=IPv4Network("10.200.0.0/16"),
    service_cidr=IPv4Network("10.201.0.0/16"),
    password="secret",
)


@pytest.fixture
def server(tmp_path: Path) -> S3:
    keys = tmp_path / "keys"
    s3._ensure_keys(STATE, keys)
    root = tmp_path / "data"
    root.mkdir()
    ca = (keys / "ca.crt").read_text()
    return S3(s3.endpoint(STATE), "access", "secret", ca, root, keys)


def test_keys_are_chosen_once_and_readable_by_nobody_else(tmp_path: Path) -> None:
    s3._ensure_keys(STATE, tmp_path / "s3")
    before = {file.name: file.read_bytes() for file in (tmp_path / "s3").iterdir()}
    s3._ensure_keys(STATE, tmp_path / "s3")
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "s3").iterdir()}
    for name in ("env", "ca.key", "tls.key"):
        assert (tmp_path / "s3" / name).stat().st_mode & 0o077 == 0


def test_keys_that_were_half_made_are_made_anew(tmp_path: Path) -> None:
    s3._ensure_keys(STATE, tmp_path)
    (tmp_path / "env").unlink()
    (tmp_path / "tls.key").write_text("half")
    s3._ensure_keys(STATE, tmp_path)
    assert (tmp_path / "tls.key").read_text() != "half"


async def test_a_lab_without_the_server_tells_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(LabError, match=r"no S3 server: .* s3"):
        await s3.opened(STATE, Store("kok"))


def test_the_secret_key_does_not_show(server: S3) -> None:
    assert "secret" not in repr(server).replace("secret_key", "")


def test_another_address_gets_a_certificate_of_the_same_ca(server: S3) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.certificate("172.20.1.1").wrap_bio(to_server, to_client, server_side=True)
    theirs = server.trust().wrap_bio(to_client, to_server, server_hostname="172.20.1.1")
    for side in (theirs, ours) * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    shown = theirs.getpeercert() or {}
    assert shown["subjectAltName"] == (("IP Address", "172.20.1.1"),)


def test_objects_are_listed_with_their_sizes_and_unfinished_uploads_apart(server: S3) -> None:
    server.make_bucket("b")
    (server.root / "b" / "team").mkdir()
    (server.root / "b" / "team" / "snapshot").write_bytes(b"12345")
    (server.root / "b" / ".sgwtmp" / "multipart").mkdir(parents=True)
    (server.root / "b" / ".sgwtmp" / "multipart" / "1").write_bytes(b"1")
    assert server.objects("b") == {"team/snapshot": 5}
    assert server.unfinished("b") == ["multipart/1"]
    server.make_bucket("b")
    assert server.objects("b") == {}


def test_an_object_can_be_damaged_without_its_size_changing(server: S3) -> None:
    server.make_bucket("b")
    (server.root / "b" / "o").write_bytes(bytes(11))
    server.flip_bit("b", "o")
    assert (server.root / "b" / "o").read_bytes() == bytes(5) + b"\x01" + bytes(5)
    server.flip_bit("b", "o", 0)
    assert (server.root / "b" / "o").read_bytes()[:1] == b"\x01"


def test_an_object_can_be_cut_short(server: S3) -> None:
    server.make_bucket("b")
    (server.root / "b" / "o").write_bytes(bytes(11))
    server.cut_short("b", "o", 3)
    assert server.objects("b") == {"o": 3}
