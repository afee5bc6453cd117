"""Where an API server is and by what right we talk to it: kubeconfigs and service accounts."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kok import pki
from kok.kube.errors import Unreachable
from kok.kube.http.inbound import with_bounded_handshake

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_LIFE = 60.0
"""Seconds after which a token file is read again; kubelet renews it well before it expires."""


class AccessError(Unreachable):
    """A kubeconfig or a service account that cannot be used; the message names what is wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="AccessError")


@dataclass(frozen=True, slots=True)
class Access:
    """One API server and one identity. PEM texts are bytes; secrets stay out of `repr`."""

    server: str
    ca: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    renew: Callable[[bool], str | None] | None = field(default=None, repr=False)
    """Gives a token that is good for now, as a login plug-in does; it may block. It is told
    whether the last one was refused."""
    insecure: bool = False
    tls_server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)
    namespace: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Added to every request: whom to act as."""


def by_certificate(server: str, ca: bytes, certificate: bytes, key: bytes) -> Access:
    """The only way from data of somebody's object to an identity: an address and three PEM texts.

    Nothing in them can name a file, a program, a proxy or a token. Raises `AccessError` for
    another scheme than https, and where one of them is empty: without a CA of its own the
    connection would trust those of the system.
    """
    if not server.startswith("https://"):
        raise AccessError(f"{server} is no https:// address")
    for what, pem in (("CA", ca), ("client certificate", certificate), ("key", key)):
        if not pem.strip():
            raise AccessError(f"the {what} for {server} is empty")
    certificate, key = _alone(server, certificate, key)
    return Access(server=server, ca=ca, certificate=certificate, key=key)


def _alone(whom: str, certificate: bytes, key: bytes) -> tuple[bytes, bytes]:
    """Certificates and the one key that was judged, without what may stand beside them.

    OpenSSL takes the first private key that it finds, of any kind and size: with RSA of 16384 bits
    each handshake would keep the loop for a second.
    """
    try:
        return b"".join(pki.split(certificate)), pki.judged_key(key)
    except pki.PkiError as error:
        raise AccessError(f"the client certificate and key for {whom}: {error}") from None


class Bearer:
    """The `Authorization` value of an identity; follows a token that is renewed."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._token = access.token
        self._read_at: float | None = None

    async def header(self, *, fresh: bool = False) -> str | None:
        """`Bearer ...`, or None without a token; `fresh` looks for a renewed one at once."""
        source = self._source()
        if source is not None:
            now = time.monotonic()
            if fresh or self._read_at is None or now - self._read_at > TOKEN_LIFE:
                self._token = await source(fresh)
                self._read_at = now
        return f"Bearer {self._token}" if self._token else None

    def _source(self) -> Callable[[bool], Awaitable[str | None]] | None:
        if self._access.token_file is not None:
            return self._read
        renew = self._access.renew
        # A plug-in is a program that may ask somebody: not on the loop.
        return None if renew is None else lambda fresh: asyncio.to_thread(renew, fresh)

    async def _read(self, _fresh: bool) -> str:
        file = self._access.token_file
        try:
            return file.read_text(encoding="utf-8").strip() if file is not None else ""
        except OSError as error:
            raise AccessError(f"cannot read the token file {file}: {error}") from error


def ssl_context(access: Access) -> ssl.SSLContext:
    """The TLS settings of an identity.

    OpenSSL takes a client certificate only from a file: it is written where only this user can
    read it, to memory where the system has such a place, and removed before this returns.
    """
    try:
        context = ssl.create_default_context(cadata=access.ca.decode() if access.ca else None)
        if access.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        # RFC 5280 extensions that private CAs often lack are no reason to refuse a pinned CA.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        # A CA that is trusted by name may be an intermediate one, as for every client in Go.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if access.certificate and access.key:
            _load_pair(context, access.certificate, access.key)
    except (ssl.SSLError, ValueError) as error:
        raise AccessError(f"the certificates for {access.server} are unusable: {error}") from error
    return context


def pinned_context(whom: str, ca: bytes, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """TLS to servers that one CA vouches for, with a client certificate; raises `AccessError`.

    `whom` names them in sentences. All three are PEM and must be there.
    """
    if not (ca.strip() and certificate.strip() and key.strip()):
        raise AccessError(f"CA, certificate or key for {whom} are empty")
    certificate, key = _alone(whom, certificate, key)
    return with_bounded_handshake(
        ssl_context(Access(server=whom, ca=ca, certificate=certificate, key=key))
    )


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    shm = Path("/dev/shm")  # noqa: S108 - memory, so that the key never reaches a disk
    directory = shm if shm.is_dir() and os.access(shm, os.W_OK) else None
    with tempfile.NamedTemporaryFile(dir=directory, prefix="kok-") as file:
        file.write(certificate.rstrip() + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)


def in_cluster(
    environ: Mapping[str, str] = os.environ, directory: Path = SERVICE_ACCOUNT
) -> Access | None:
    """The service account of the pod we run in; None outside a pod, or where KUBECONFIG is set.

    Who names a kubeconfig means it, also in a pod: to act on the pod's own cluster instead would
    be a bad surprise.
    """
    if environ.get("KUBECONFIG"):
        return None
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    token = directory / "token"
    if not host or not port or not token.is_file():
        return None
    namespace = directory / "namespace"
    return Access(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ca=(directory / "ca.crt").read_bytes(),
        token_file=token,
        namespace=namespace.read_text(encoding="utf-8").strip() if namespace.is_file() else None,
    )


def in_pod(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether we run in a pod of the cluster that we look after."""
    return in_cluster(environ) is not None


def from_kubeconfig(source: str | bytes | Mapping[str, Any]) -> Access:
    """The identity of a kubeconfig's current context, of what stands in the text itself.

    One that names files, a plug-in or a proxy is refused: `kok.cli.identity` reads those of
    whoever calls a command. Operators use neither (`by_certificate`).
    """
    config = _parsed(source)
    name = config.get("current-context")
    context = _named(config, "contexts", "context", name)
    cluster = _named(config, "clusters", "cluster", context.get("cluster"))
    user = _named(config, "users", "user", context["user"]) if context.get("user") else {}
    outside = (_ELSEWHERE & user.keys()) | (_ELSEWHERE & cluster.keys())
    if outside:
        raise AccessError(f"the kubeconfig has {min(outside)}, which leads outside of it")
    server = cluster.get("server")
    if not server:
        raise AccessError("the kubeconfig's cluster has no server")
    return Access(
        server=str(server).rstrip("/"),
        ca=_data(cluster, "certificate-authority-data"),
        certificate=_data(user, "client-certificate-data"),
        key=_data(user, "client-key-data"),
        token=user.get("token"),
        tls_server_name=cluster.get("tls-server-name"),
        namespace=context.get("namespace"),
    )


_ELSEWHERE = frozenset(
    {
        "auth-provider",
        "certificate-authority",
        "client-certificate",
        "client-key",
        "exec",
        "insecure-skip-tls-verify",
        "proxy-url",
        "tokenFile",
    }
)
"""Fields of a kubeconfig that name a file or a program, or give trust away."""


def _parsed(source: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    try:
        config = pki.plain_yaml(source, "the kubeconfig")
    except pki.PkiError as error:
        raise AccessError(str(error)) from None
    if not isinstance(config, Mapping):
        raise AccessError("the kubeconfig is not a YAML mapping")
    return config


def _named(config: Mapping[str, Any], section: str, key: str, name: object) -> Mapping[str, Any]:
    for entry in config.get(section) or ():
        if isinstance(entry, Mapping) and entry.get("name") == name:
            found = entry.get(key)
            if isinstance(found, Mapping):
                return found
    raise AccessError(f"the kubeconfig has no entry {str(name)[:100]!r} in {section}")


def _data(section: Mapping[str, Any], key: str) -> bytes | None:
    inline = section.get(key)
    if not inline:
        return None
    try:
        return base64.b64decode(inline, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise AccessError(f"{key} of the kubeconfig is not base64") from None
