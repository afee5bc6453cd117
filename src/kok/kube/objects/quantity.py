"""Amounts as Kubernetes writes them, such as `500m`, `2` or `8Gi`."""

from __future__ import annotations

import re
from decimal import Decimal

_FORM = re.compile(
    # Bounded: a number of a million digits, or with such an exponent, is work for minutes.
    r"^([+-]?(?:\d{1,64}(?:\.\d{0,64})?|\.\d{1,64}))"
    r"(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i))?$",
    re.ASCII,
)
_MOST = 140
"""Characters of a quantity."""
MOST_DIGITS = 40
MOST_EXPONENT = 40
"""Kubernetes holds no more than 2^63 - 1 of anything."""
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def parse_quantity(text: str | int | float) -> Decimal:
    """The number behind a quantity, in its base unit (cores, bytes, pieces).

    Raises `ValueError` for anything that is no quantity.

    >>> parse_quantity("1500m") == parse_quantity("1.5")
    True
    """
    written = text if isinstance(text, str) else repr(text)
    match = _FORM.match(written) if len(written) <= _MOST else None
    if match is None:
        raise ValueError(f"{written[:_MOST]!r} is not a quantity; write for example 500m, 2 or 8Gi")
    number, exponent, suffix = match.groups()
    if len(number) > MOST_DIGITS or abs(int(exponent[1:] if exponent else "0")) > MOST_EXPONENT:
        # As a whole number it would fill the memory, one digit after the other.
        raise ValueError(f"{str(text)[:40]!r} is beyond what Kubernetes counts; write less")
    value = Decimal(number + (exponent or ""))
    if suffix in _BINARY:
        return value * Decimal(1024) ** _BINARY[suffix]
    return value.scaleb(_DECIMAL[suffix]) if suffix else value


def same_quantity(one: object, other: object) -> bool:
    """Whether two values are quantities of the same amount; False if either is none."""
    if not isinstance(one, str | int | float) or not isinstance(other, str | int | float):
        return False
    try:
        return parse_quantity(one) == parse_quantity(other)
    except ValueError:
        return False
