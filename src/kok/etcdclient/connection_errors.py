"""What goes wrong on the way to a member, as the errors that all calls raise. Pure."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp

from kok.etcdclient.answers import strange
from kok.etcdclient.model import EtcdError, Trouble


def error_of(error: Exception) -> EtcdError:
    """What went wrong on the way to a member."""
    if isinstance(error, asyncio.TimeoutError):
        return EtcdError(Trouble.SILENT, "does not answer in time")
    if isinstance(error, aiohttp.ClientSSLError) or isinstance(error.__cause__, ssl.SSLError):
        # A member looks at the client's certificate when the client is through with TLS already.
        return EtcdError(Trouble.UNTRUSTED, _tls_sentence(error))
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, ConnectionRefusedError):
            return EtcdError(Trouble.NOT_LISTENING, "does not serve clients yet")
        return EtcdError(Trouble.SILENT, "cannot be reached from the operator")
    if isinstance(error, aiohttp.ClientError | OSError):
        return EtcdError(Trouble.BROKE_OFF, "broke the connection off")
    return strange()


def _tls_sentence(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or "it is not trusted"
        return f"shows a certificate that does not hold: {why}"
    return "does not agree on TLS with the operator"
