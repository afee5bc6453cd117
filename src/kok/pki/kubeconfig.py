"""Kubeconfigs: built deterministically, and parsed back to see whether they are still right."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from kok.pki.authority import Leaf
from kok.pki.errors import PkiError
from kok.pki.plainyaml import dump_yaml, plain_yaml


@dataclass(frozen=True)
class ClientCertFiles:
    """A client certificate in files. Clients re-read them, so a renewal needs no restart."""

    cert_file: str
    key_file: str


@dataclass(frozen=True)
class Token:
    """A bearer token in the kubeconfig itself, for example a bootstrap token."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class TokenFile:
    """A bearer token in a file that clients re-read, for example a projected one."""

    path: str


LONGEST = 64 * 1024
"""Bytes that are parsed: YAML takes its time, and the text may be anybody's."""

_QUOTED = 100
"""Characters of a name in a sentence."""

Credentials: TypeAlias = Leaf | ClientCertFiles | Token | TokenFile


@dataclass(frozen=True)
class Kubeconfig:
    """The current context of a kubeconfig."""

    cluster_name: str
    server: str
    ca_pem: bytes
    user: str
    credentials: Credentials
    namespace: str | None = None
    tls_server_name: str | None = None


def kubeconfig(
    cluster_name: str,
    server: str,
    ca_pem: bytes,
    user: str,
    credentials: Credentials,
    *,
    context_name: str | None = None,
    namespace: str | None = None,
    tls_server_name: str | None = None,
) -> str:
    """A kubeconfig with one context, as YAML text; equal arguments give equal bytes.

    The context is called `user@cluster_name` unless `context_name` says otherwise.
    `server` is a URL (`https://192.0.2.10:31443`). `credentials` is a `Leaf` (a client
    certificate, inlined), `ClientCertFiles`, `Token` or `TokenFile`. `tls_server_name` is for
    servers reached by a name or address that their certificate does not carry.
    """
    if not server.startswith("https://"):
        raise PkiError(f"the server {server!r} of a kubeconfig must begin with https://")
    cluster = {"certificate-authority-data": _b64(ca_pem), "server": server}
    if tls_server_name:
        cluster["tls-server-name"] = tls_server_name
    context = {"cluster": cluster_name, "user": user}
    if namespace:
        context["namespace"] = namespace
    name = context_name or f"{user}@{cluster_name}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"cluster": cluster, "name": cluster_name}],
        "contexts": [{"context": context, "name": name}],
        "current-context": name,
        "users": [{"name": user, "user": _user_fields(credentials)}],
    }
    return dump_yaml(document)


def parse_kubeconfig(text: str | bytes) -> Kubeconfig:
    """The current context of a kubeconfig with the CA inlined.

    Raises `PkiError` when the text is no kubeconfig, or its user has none of the `Credentials`.
    It takes seconds for a text that somebody made up: nothing for operators (`leaf_within`).
    """
    if len(text) > LONGEST:
        raise PkiError(f"the kubeconfig is longer than {LONGEST} bytes")
    document = plain_yaml(text, "the kubeconfig")
    if not isinstance(document, dict):
        raise PkiError("the kubeconfig is not a YAML mapping")
    context = _named(document, "contexts", "context", document.get("current-context"))
    cluster = _named(document, "clusters", "cluster", context.get("cluster"))
    user = _named(document, "users", "user", context.get("user"))
    return Kubeconfig(
        cluster_name=_text(context, "cluster"),
        server=_text(cluster, "server", ""),
        ca_pem=_unb64(cluster, "certificate-authority-data"),
        user=_text(context, "user"),
        credentials=_credentials(user),
        namespace=_text(context, "namespace", "") or None,
        tls_server_name=_text(cluster, "tls-server-name", "") or None,
    )


def leaf_within(text: bytes) -> Leaf | None:
    """The client certificate in a text of `kubeconfig`; None if there is not exactly one.

    Without a parser of YAML, which takes seconds for what somebody else made up: the text is cut
    into lines, and what `kubeconfig` did not write so is not found.
    """
    if len(text) > LONGEST:
        return None
    found = dict.fromkeys(_INLINE, b"")
    for line in text.splitlines():
        key, _, value = line.strip().partition(b": ")
        if key in found:
            if found[key]:
                return None
            found[key] = value
    try:
        cert, key_pem = (base64.b64decode(value, validate=True) for value in found.values())
    except binascii.Error:
        return None
    return Leaf(cert, key_pem) if cert and key_pem else None


_INLINE = (b"client-certificate-data", b"client-key-data")


def _user_fields(credentials: Credentials) -> dict[str, str]:
    match credentials:
        case Leaf(cert_pem, key_pem):
            return {
                "client-certificate-data": _b64(cert_pem),
                "client-key-data": _b64(key_pem),
            }
        case ClientCertFiles(cert_file, key_file):
            return {"client-certificate": cert_file, "client-key": key_file}
        case Token(token):
            return {"token": token}
        case TokenFile(path):
            return {"tokenFile": path}


def _credentials(user: Mapping[str, Any]) -> Credentials:
    if "client-certificate-data" in user and "client-key-data" in user:
        return Leaf(_unb64(user, "client-certificate-data"), _unb64(user, "client-key-data"))
    if "client-certificate" in user and "client-key" in user:
        return ClientCertFiles(_text(user, "client-certificate"), _text(user, "client-key"))
    if "tokenFile" in user:
        return TokenFile(_text(user, "tokenFile"))
    if "token" in user:
        return Token(_text(user, "token"))
    raise PkiError("the user of the kubeconfig has neither a client certificate nor a token")


def _named(
    document: Mapping[str, Any], plural: str, field_name: str, name: object
) -> dict[str, Any]:
    if not isinstance(name, str):
        raise PkiError(f"the kubeconfig names no {field_name}")
    entries = document.get(plural)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name:
            value = entry.get(field_name)
            if isinstance(value, dict):
                return value
    raise PkiError(f"the kubeconfig has no {field_name} named {name[:_QUOTED]!r}")


def _text(fields: Mapping[str, Any], key: str, absent: str | None = None) -> str:
    found = fields.get(key, absent)
    if found is None:
        raise PkiError(f"the kubeconfig has no {key}")
    if not isinstance(found, str):
        raise PkiError(f"the kubeconfig's {key} is not text")
    return found


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _unb64(fields: Mapping[str, Any], key: str) -> bytes:
    text = _text(fields, key)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise PkiError(f"the kubeconfig's {key} is not base64") from None
