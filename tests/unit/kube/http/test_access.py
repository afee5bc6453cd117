"""Kubeconfigs, service accounts and renewed tokens."""

from __future__ import annotations

import base64
import re
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
import yaml
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal

from kok.kube import kinds
from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.kube.errors import Unauthorized, Unreachable
from kok.kube.http.access import (
    Access,
    AccessError,
    Bearer,
    by_certificate,
    from_kubeconfig,
    in_cluster,
    pinned_context,
    ssl_context,
)
from kok.kube.http.session import new_session


def config(**user: Any) -> dict[str, Any]:
    """A kubeconfig with a user."""
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://api.example:6443/"}}],
        "users": [{"name": "u", "user": user}],
    }


def test_a_kubeconfig_is_read_from_text_and_from_a_mapping() -> None:
    one = from_kubeconfig(config(token="t"))
    assert one == from_kubeconfig(yaml.safe_dump(config(token="t")))
    assert (one.server, one.token, one.namespace) == ("https://api.example:6443", "t", "n")


def test_certificates_stand_in_the_text_itself() -> None:
    inline = base64.b64encode(b"PEM").decode()
    found = from_kubeconfig(
        config(**{"client-certificate-data": inline, "client-key-data": inline})
    )
    assert (found.certificate, found.key) == (b"PEM", b"PEM")


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("[", "the kubeconfig is not YAML"),
        ("a: &a [x]\ncurrent-context: *a\n", "the kubeconfig has YAML aliases"),
        ("just text", "the kubeconfig is not a YAML mapping"),
        ({"current-context": "x"}, "no entry 'x' in contexts"),
        (config(exec={"command": "login"}), "has exec, which leads outside of it"),
        (config(**{"auth-provider": {"name": "oidc"}}), "has auth-provider, which leads outside"),
        (config(tokenFile="/var/run/token"), "has tokenFile, which leads outside of it"),
        (config(**{"client-certificate": "c.pem"}), "has client-certificate, which leads outside"),
        (config(**{"client-key-data": "%"}), "client-key-data of the kubeconfig is not base64"),
        (config(**{"client-key": "/nowhere/key"}), "has client-key, which leads outside of it"),
    ],
)
def test_an_unusable_kubeconfig_is_refused_with_a_sentence(broken: Any, sentence: str) -> None:
    with pytest.raises(AccessError, match=sentence):
        from_kubeconfig(broken)


def test_nothing_of_a_broken_kubeconfig_is_repeated() -> None:
    with pytest.raises(AccessError) as caught:
        from_kubeconfig("token: s3cret\n\t- broken")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_secrets_stay_out_of_the_representation() -> None:
    found = from_kubeconfig(config(token="s3cret"))
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    "cluster",
    [
        {"certificate-authority": "/etc/ca.pem"},
        {"insecure-skip-tls-verify": True},
        {"proxy-url": "http://proxy.example"},
    ],
)
def test_a_kubeconfig_in_hand_gives_no_trust_away(cluster: dict[str, Any]) -> None:
    broken = config(token="t")
    broken["clusters"][0]["cluster"] |= cluster
    with pytest.raises(
        AccessError, match=f"has {re.escape(next(iter(cluster)))}, which leads outside"
    ):
        from_kubeconfig(broken)


def test_an_identity_is_an_address_and_three_texts() -> None:
    cert, key = certified()
    found = by_certificate("https://x", b"CA", cert, key)
    assert found == Access("https://x", b"CA", cert, key)


def certified() -> tuple[bytes, bytes]:
    """A client certificate and its key."""
    issued = trustme.CA().issue_cert("client.example")
    return issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()


def test_of_an_identity_nothing_is_used_but_the_key_that_was_judged() -> None:
    """OpenSSL would take the first that it finds, wherever it stands and however large it is."""
    (cert, key), (_, other) = certified(), certified()
    found = by_certificate("https://x", b"CA", other + cert + other, key + other)
    assert (found.certificate, found.key) == (cert, key)
    # Two numbers of 8192 bits, and the others: more than a handshake may cost.
    numbers = b"".join(b"\x02\x82\x04\x00" + b"\x7f" * 1024 for _ in range(2)) + b"\x02\x01\x03" * 6
    der = b"\x30\x82" + (len(numbers) + 3).to_bytes(2) + b"\x02\x01\x00" + numbers
    large = b"-----BEGIN RSA PRIVATE KEY-----\n%s-----END RSA PRIVATE KEY-----\n"
    for text, sentence in (
        (large % base64.encodebytes(der), "has more than 4096 bits"),
        (b"hush", "not a PEM private key"),
    ):
        with pytest.raises(AccessError, match=sentence) as one:
            by_certificate("https://x", b"CA", cert, text)
        with pytest.raises(AccessError, match=sentence):
            pinned_context("etcd", b"CA", cert, text)
        assert "hush" not in str(one.value)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (("http://x", b"CA", b"CERT", b"KEY"), "http://x is no https:// address"),
        (("https://x", b"", b"CERT", b"KEY"), "the CA for https://x is empty"),
        (("https://x", b"CA", b" ", b"KEY"), "the client certificate for https://x is empty"),
        (("https://x", b"CA", b"CERT", b""), "the key for https://x is empty"),
    ],
)
def test_an_identity_without_one_of_its_parts_is_refused(parts: Any, sentence: str) -> None:
    with pytest.raises(AccessError, match=sentence):
        by_certificate(*parts)


def test_without_a_ca_of_their_own_servers_are_not_trusted_by_that_of_the_system() -> None:
    with pytest.raises(AccessError, match="CA, certificate or key for etcd are empty"):
        pinned_context("etcd", b"", b"CERT", b"KEY")


async def test_the_environment_names_neither_proxy_nor_password(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("default login me password s3cret")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    asked: list[Any] = []

    async def look(request: web.Request) -> web.StreamResponse | None:
        asked.append(request.headers.get("Authorization"))
        return None

    api.script("*", ".", look)
    async with Kube(Access(api.address), field_manager="test") as kube:
        assert await kube.list(kinds.SECRET, "ns") == []
    assert asked == [None]


async def test_nobody_is_followed_elsewhere_with_an_identity(api: FakeApi) -> None:
    asked: list[str] = []

    async def redirect(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": f"{api.address}/elsewhere"})

    api.script("*", ".", redirect)
    async with Kube(Access(api.address, token="t"), field_manager="test") as kube:
        with pytest.raises(Unreachable, match="leads to another address"):
            await kube.raw("GET", "/api")
    # As kopf asks, which does not say that it would not be led on.
    async with new_session(Access(api.address, token="t")) as session:
        with pytest.raises(aiohttp.ClientConnectionError, match="leads to another address"):
            await session.request("GET", f"{api.address}/apis")
    assert asked == ["/api", "/apis"]


async def test_an_identity_is_for_one_server_whoever_uses_its_session(api: FakeApi) -> None:
    elsewhere = await FakeApi().start()
    access = Access(api.address, token="t", headers=(("Impersonate-User", "me"),))
    async with new_session(access) as session:
        with pytest.raises(aiohttp.ClientConnectionError, match="with the identity for"):
            await session.get(f"{elsewhere.address}/api")
        assert (await session.get(f"{api.address}/api/v1/nodes")).status == 200
    await elsewhere.close()
    assert elsewhere.requests == []


async def test_no_server_has_cookies_kept(api: FakeApi) -> None:
    asked: list[str | None] = []

    async def give(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Cookie"))
        return web.json_response({}, headers={"Set-Cookie": "a=b; Path=/"})

    api.script("*", ".", give)
    # Of a name: of a bare address no jar keeps any.
    named = api.address.replace("127.0.0.1", "localhost")
    async with Kube(Access(named), field_manager="test", limits=TENANT) as kube:
        await kube.raw("GET", "/api")
        await kube.raw("GET", "/api")
    assert asked == [None, None]


async def test_nobody_asks_for_compressed_answers_kopf_as_little_as_we(api: FakeApi) -> None:
    asked: list[str | None] = []

    async def look(request: web.Request) -> web.StreamResponse | None:
        asked.append(request.headers.get("Accept-Encoding"))
        return None

    api.script("*", ".", look)
    async with Kube(Access(api.address), field_manager="test") as kube:
        await kube.list(kinds.SECRET, "ns")
    session = new_session(Access(api.address))
    async with session, session.get(f"{api.address}/api/v1/namespaces/ns/secrets") as answer:
        await answer.read()
    assert asked == ["identity", "identity"]


async def test_whom_to_act_as_stands_in_every_request(api: FakeApi) -> None:
    asked: list[list[str]] = []

    async def look(request: web.Request) -> web.StreamResponse | None:
        asked.append(request.headers.getall("Impersonate-Group", []))
        return None

    api.script("*", ".", look)
    groups = (("Impersonate-User", "jane"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b"))
    async with Kube(Access(api.address, headers=groups), field_manager="test") as kube:
        await kube.list(kinds.SECRET, "ns")
    assert asked == [["a", "b"]]


async def test_a_pod_uses_its_service_account(tmp_path: Path) -> None:
    for name, text in {"token": "t\n", "ca.crt": "CA", "namespace": "kok"}.items():
        (tmp_path / name).write_text(text)
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}

    found = in_cluster(environment, tmp_path)

    assert found is not None
    assert (found.server, found.ca, found.namespace) == ("https://[fd00::1]:443", b"CA", "kok")
    assert await Bearer(found).header() == "Bearer t"
    assert in_cluster({}, tmp_path) is None
    named = {**environment, "KUBECONFIG": "/etc/other"}
    assert in_cluster(named, tmp_path) is None, "who names a kubeconfig means it"


def test_a_client_certificate_leaves_no_file_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Path, int]] = []
    real = tempfile.NamedTemporaryFile

    def recorded(**options: Any) -> Any:
        file = real(**options)
        made.append((Path(file.name), Path(file.name).stat().st_mode & 0o777))
        return file

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", recorded)
    authority = trustme.CA()
    issued = authority.issue_cert("client.example")
    chain = b"".join(part.bytes() for part in issued.cert_chain_pems)

    context = ssl_context(
        Access("https://x", authority.cert_pem.bytes(), chain, issued.private_key_pem.bytes())
    )

    assert context.get_ca_certs()
    ((path, mode),) = made
    assert mode == 0o600
    assert not path.exists()


def test_unusable_certificates_are_told_without_their_content() -> None:
    with pytest.raises(AccessError, match="certificates for https://x are unusable") as caught:
        ssl_context(Access("https://x", ca=b"-----BEGIN CERTIFICATE-----\nsecret"))
    assert "secret" not in str(caught.value)


async def test_a_renewed_token_is_taken_up_when_the_old_one_is_refused(
    api: FakeApi, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    valid = {"old"}

    async def check(request: web.Request) -> web.StreamResponse | None:
        if request.headers["Authorization"].removeprefix("Bearer ") in valid:
            return None
        return refusal(401, "Unauthorized", "Unauthorized")

    api.script("*", ".", check)
    async with Kube(Access(api.address, token_file=token), field_manager="test") as kube:
        assert await kube.list(kinds.SECRET, "ns") == []
        valid.clear()
        valid.add("new")
        with pytest.raises(Unauthorized):
            await kube.list(kinds.SECRET, "ns")
        token.write_text("new")
        assert await kube.list(kinds.SECRET, "ns") == []


async def test_a_token_file_that_vanished_is_no_crash(api: FakeApi, tmp_path: Path) -> None:
    access = Access(api.address, token_file=tmp_path / "none")
    async with Kube(access, field_manager="test") as kube:
        with pytest.raises(Unreachable, match="cannot read the token file"):
            await kube.list(kinds.SECRET, "ns")


async def test_an_answer_that_is_no_json_is_no_crash(api: FakeApi) -> None:
    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>", content_type="application/json")

    api.script("GET", "secrets", page)
    async with Kube(Access(api.address), field_manager="test") as kube:
        with pytest.raises(Unreachable, match="did not answer with JSON"):
            await kube.list(kinds.SECRET, "ns")
