"""Where an API server is and by what right we talk to it: kubeconfigs and service accounts."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kok.kube.errors import Unreachable

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
    insecure: bool = False
    tls_server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)
    namespace: str | None = None


class Bearer:
    """The `Authorization` value of an identity; follows a token file that is renewed."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._token = access.token
        self._read_at: float | None = None

    def header(self, *, fresh: bool = False) -> str | None:
        """`Bearer ...`, or None without a token; `fresh` reads the token file again at once."""
        file = self._access.token_file
        if file is not None:
            now = time.monotonic()
            if fresh or self._read_at is None or now - self._read_at > TOKEN_LIFE:
                try:
                    self._token = file.read_text(encoding="utf-8").strip()
                except OSError as error:
                    raise AccessError(f"cannot read the token file {file}: {error}") from error
                self._read_at = now
        return f"Bearer {self._token}" if self._token else None


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
        if access.certificate and access.key:
            _load_pair(context, access.certificate, access.key)
    except (ssl.SSLError, ValueError) as error:
        raise AccessError(f"the certificates for {access.server} are unusable: {error}") from error
    return context


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


def from_environment(environ: Mapping[str, str] = os.environ) -> Access:
    """The kubeconfig of `$KUBECONFIG`, else the pod's service account, else `~/.kube/config`."""
    access = in_cluster(environ)
    if access is not None:
        return access
    named = environ.get("KUBECONFIG")
    path = Path(named.split(os.pathsep)[0]) if named else Path("~/.kube/config").expanduser()
    if not path.is_file():
        raise AccessError(
            f"no API server is known: this is no pod and {path} does not exist; set KUBECONFIG"
        )
    return from_kubeconfig(path.read_text(encoding="utf-8"), base=path.parent)


def from_kubeconfig(source: str | bytes | Mapping[str, Any], *, base: Path = Path()) -> Access:
    """The identity of a kubeconfig's current context; relative file names start at `base`."""
    config = _parsed(source)
    name = config.get("current-context")
    context = _named(config, "contexts", "context", name)
    cluster = _named(config, "clusters", "cluster", context.get("cluster"))
    user = _named(config, "users", "user", context["user"]) if context.get("user") else {}
    if "exec" in user or "auth-provider" in user:
        raise AccessError(
            f"user {context['user']!r} of the kubeconfig logs in by a plug-in, which is not "
            "supported; use a token or a client certificate"
        )
    server = cluster.get("server")
    if not server:
        raise AccessError("the kubeconfig's cluster has no server")
    token_file = user.get("tokenFile")
    return Access(
        server=str(server).rstrip("/"),
        ca=_data(cluster, "certificate-authority", base),
        certificate=_data(user, "client-certificate", base),
        key=_data(user, "client-key", base),
        token=user.get("token"),
        token_file=base / token_file if token_file and not user.get("token") else None,
        insecure=bool(cluster.get("insecure-skip-tls-verify", False)),
        tls_server_name=cluster.get("tls-server-name"),
        proxy=cluster.get("proxy-url"),
        namespace=context.get("namespace"),
    )


def _parsed(source: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    try:
        config = yaml.safe_load(source)
    except yaml.YAMLError:
        # The parser's message quotes the text, which holds keys.
        raise AccessError("the kubeconfig is not YAML") from None
    if not isinstance(config, Mapping):
        raise AccessError("the kubeconfig is not a YAML mapping")
    return config


def _named(config: Mapping[str, Any], section: str, key: str, name: object) -> Mapping[str, Any]:
    for entry in config.get(section) or ():
        if isinstance(entry, Mapping) and entry.get("name") == name:
            found = entry.get(key)
            if isinstance(found, Mapping):
                return found
    raise AccessError(f"the kubeconfig has no entry {name!r} in {section}")


def _data(section: Mapping[str, Any], key: str, base: Path) -> bytes | None:
    inline, path = section.get(f"{key}-data"), section.get(key)
    if inline:
        try:
            return base64.b64decode(inline, validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise AccessError(f"{key}-data of the kubeconfig is not base64") from None
    if path:
        try:
            return (base / str(path)).read_bytes()
        except OSError as error:
            raise AccessError(f"{key} of the kubeconfig cannot be read: {error}") from error
    return None
