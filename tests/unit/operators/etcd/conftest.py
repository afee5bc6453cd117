"""Passes show metrics, which no other test is to find."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kok.operators.etcd import metrics


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What a test shows of EtcdBackups and EtcdRestores is not shown any more."""
    yield
    metrics.BACKUP_FAILED.clear()
    metrics.RESTORE_FAILED.clear()
