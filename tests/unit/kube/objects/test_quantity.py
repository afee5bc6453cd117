"""Quantities."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kok.kube.objects.quantity import parse_quantity, same_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("500m", "0.5"),
        ("8Gi", "8589934592"),
        ("1.5Ki", "1536"),
        ("2k", "2000"),
        ("1e3", "1000"),
        ("100n", "0.0000001"),
        ("-1", "-1"),
        (2, "2"),
        (0.25, "0.25"),
    ],
)
def test_amounts(text: str | float, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "8GiB", "1 Gi", "Gi", "1..2", "1ki"])
def test_what_is_no_amount_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write for example"):
        parse_quantity(text)


def test_equal_amounts() -> None:
    assert same_quantity("1024Mi", "1Gi")
    assert same_quantity(1, "1000m")
    assert not same_quantity("1G", "1Gi")
    assert not same_quantity("a", "a")
    assert not same_quantity(None, 1)


@pytest.mark.parametrize("text", ["1e999999", "1e-999999", "1e9999999999", "9" * 10_000])
def test_numbers_without_end_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"quantity|beyond what Kubernetes counts"):
        parse_quantity(text)
    assert not same_quantity(text, "1")
