"""A CA made once, and one moment that all tests call now."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kok.pki import CertificateAuthority, new_ca

NOW = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def ca() -> CertificateAuthority:
    return new_ca("kubernetes", NOW)


@pytest.fixture(scope="session")
def other_ca() -> CertificateAuthority:
    """Another CA of the very same name: only its key tells it from the first."""
    return new_ca("kubernetes", NOW)
