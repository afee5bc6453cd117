"""Where in a template something went wrong."""

from __future__ import annotations

import pytest

from kok.templating.environment import TemplateError, render


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n{{ values.nothing.inside }}", 2),
        ("{{ nope }}", 1),
        ("{% for one in values %}\n\n{{ 1 / 0 }}\n{% endfor %}", 3),
        ("{% macro inner() %}\n{{ nope }}\n{% endmacro %}\n\n{{ inner() }}", 2),
        ("a\n\n{{ 'a' + 1 }}", 3),
    ],
)
def test_the_line_of_what_goes_wrong_while_rendering_is_told(text: str, line: int) -> None:
    with pytest.raises(TemplateError) as told:
        render(text, {"values": {"a": 1}})
    assert told.value.line == line
