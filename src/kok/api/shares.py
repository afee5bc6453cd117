"""A number of things, or a share of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, WithJsonSchema

from kok.api.fields import EITHER, INT_OR_STRING, rule

Share = Annotated[str, Field(pattern=r"^([1-9][0-9]?|100)%$", max_length=4)]
"""A share from 1% to 100%; only beside a number, with `number_or_share`."""
# A text beside a number has no bound for the API server: a pattern would cost too much, a list does not.
_SHARES = [f"{share}%" for share in range(1, 101)]


def number_or_share(least: int, most: int, *, such_as: int) -> WithJsonSchema:
    """The schema of an `int | Share`: a number within bounds, or a share."""
    return WithJsonSchema(
        {
            INT_OR_STRING: True,
            EITHER: rule(
                f"write a number from {least} to {most}, or a share from 1% to 100%, such as "
                f"{such_as} or 25%",
                f"type(self) == int ? self >= {least} && self <= {most} : self in {_SHARES}",
            ),
        }
    )


def resolved(of: int | str, total: int) -> int:
    """A number as it is, or a share of so many: rounded down, and never less than one.

    >>> resolved("25%", 6)
    1
    """
    if isinstance(of, int):
        return of
    return max(1, total * int(of.removesuffix("%")) // 100)
