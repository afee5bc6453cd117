"""Which working containers belong to builds of ours."""

from __future__ import annotations

import pytest
from e2e.lab.images.builds import begins_with

OURS = [["debian", "tools"], ["python"]]


@pytest.mark.parametrize(
    ("layers", "ours"),
    [
        (["python"], True),
        (["python", "venv", "packages"], True),
        (["debian", "tools", "more"], True),
        (["debian"], False),
        (["debian", "other"], False),
        (["venv", "python"], False),
        ([], False),
    ],
)
def test_an_image_of_ours_is_what_later_steps_begin_with(layers: list[str], ours: bool) -> None:
    assert begins_with(layers, OURS) is ours


def test_an_image_that_went_away_is_nobodys_beginning() -> None:
    assert not begins_with(["python"], [[]])
