"""What all tests of the S3 client have in common."""

from __future__ import annotations

import pytest

from kok.backup.stores.s3 import http


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_BACKOFF", 0.0)
