"""Strangers' words make no series without end."""

from __future__ import annotations

import pytest

from kok.kube.errors import error_of
from kok.runtime import metrics
from kok.runtime.controller.errors import Wait


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_words", {})


def test_an_apis_words_are_no_labels() -> None:
    said = b'{"kind": "Status", "reason": "MadeUp%d", "message": "no"}'
    found = {
        metrics.reason_of(error := error_of(status, said % status), error.reason)
        for status in range(400, 600)
    }
    assert not any("MadeUp" in word for word in found)
    assert len(found) < 20


def test_a_label_has_so_many_words_at_most() -> None:
    told = Wait("NoEtcd", "waits")
    assert metrics.reason_of(told, told.reason) == "NoEtcd"
    found = {
        metrics.bounded_label("reason", f"Word{number}") for number in range(10 * metrics.WORDS)
    }
    assert len(found) == metrics.WORDS
    assert metrics.OTHER in found
    assert metrics.reason_of(told, told.reason) == "NoEtcd", "known ones stay"
    assert metrics.bounded_label("another", "Word") == "Word"
