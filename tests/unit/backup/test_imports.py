"""Operator and worker are one image and not one process: neither pays for the other's libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest


def loaded(*modules: str) -> set[str]:
    """The top-level packages that a fresh interpreter holds after importing these modules."""
    code = f"import sys, {', '.join(modules)}; print(*{{m.partition('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_the_operator_loads_no_libcurl() -> None:
    assert "pycurl" not in loaded("kok.operators.etcd.handlers")


@pytest.mark.parametrize("module", ["commands.backup", "commands.fetch", "stores.s3.store"])
def test_the_worker_loads_nothing_of_the_operator(module: str) -> None:
    found = loaded("kok.backup.main", f"kok.backup.{module}")

    assert not found & {"kopf", "structlog", "rich", "cryptography", "asyncssh"}
