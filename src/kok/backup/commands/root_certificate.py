"""A certificate of the user `root` for the throw-away etcd of a proof.

A backup of an etcd whose authentication is on is restored with it on: nobody is told anything
without being a user. One called `root` who may do everything is always there, since etcd lets
nobody remove him while it is on, and over TLS a certificate's common name is the user. This one
is made on the spot, is good for nothing but that copy, and goes with it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kok.backup.spec import ROOT_PASS_NAME, ROOT_PASS_USER

_VALID = timedelta(days=7)
"""Longer than any proof may take."""


def make(directory: Path) -> None:
    """Writes `ca.crt`, and `tls.crt` and `tls.key` that serve as server's and as client's."""
    # Imported only here: a fetch for a restore needs no such thing.
    from kok.pki import LeafSpec, Usage, issue, new_ca  # noqa: PLC0415

    now = datetime.now(UTC)
    ca = new_ca(ROOT_PASS_NAME, now, _VALID)
    leaf = issue(ca, LeafSpec(ROOT_PASS_USER, dns_names=[ROOT_PASS_NAME], usages=Usage.BOTH), now)
    directory.mkdir(mode=0o700, exist_ok=True)
    contents = {"ca.crt": ca.cert_pem, "tls.crt": leaf.cert_pem, "tls.key": leaf.key_pem}
    for file, content in contents.items():
        descriptor = os.open(directory / file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
