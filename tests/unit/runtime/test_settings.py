"""Settings come from the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kok.runtime.settings import Settings


def test_namespaces_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().namespaces == ()
    monkeypatch.setenv("KOK_NAMESPACES", "a, b,,c")
    assert Settings().namespaces == ("a", "b", "c")


def test_a_bad_value_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOK_PASSES", "0")
    with pytest.raises(ValidationError, match="passes"):
        Settings()
