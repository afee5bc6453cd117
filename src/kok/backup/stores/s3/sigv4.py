"""Signing requests to S3: AWS Signature Version 4. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

UNSIGNED = "UNSIGNED-PAYLOAD"
"""In place of a payload's hash: the payload is protected by TLS, and read back afterwards."""
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs. The secrets stay out of `repr`."""

    access_key: str
    secret_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"Credentials({self.access_key})"


def query_string(query: Mapping[str, str]) -> str:
    """The canonical query: sorted, and all but the unreserved characters escaped."""
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in query.items())
    return "&".join(f"{key}={value}" for key, value in pairs)


def escape_path(path: str) -> str:
    """The canonical path; S3 escapes once and leaves slashes."""
    return quote(path, safe="/-_.~")


def sign(
    credentials: Credentials,
    region: str,
    *,
    method: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    payload: str,
    now: datetime,
    service: str = "s3",
) -> dict[str, str]:
    """`headers` (with `host`) and those that sign the request; all names in lower case.

    `path` is escaped already; `payload` is its SHA-256 in hexadecimal, or `UNSIGNED`.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed |= {"x-amz-date": stamp, "x-amz-content-sha256": payload}
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        [
            *(method, path, query_string(query)),
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            *("", names, payload),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (stamp[:8], region, service, "aws4_request"):
        key = _hmac(key, part)
    signature = _hmac(key, "\n".join([_ALGORITHM, stamp, scope, digest])).hex()
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return signed


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), hashlib.sha256)
