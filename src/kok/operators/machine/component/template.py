"""Templates of Components, and what their authors are told of what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kok.templating import environment
from kok.templating.environment import TemplateError


class RenderError(Exception):
    """A template that cannot be rendered; a sentence that says where and why."""


def check(where: str, text: str) -> None:
    """Raises `RenderError` if a template cannot be parsed."""
    try:
        environment.check(text)
    except TemplateError as error:
        raise RenderError(_sentence(where, error)) from None


def render(where: str, text: str, context: Mapping[str, Any]) -> str:
    """The text with values put in. Raises `RenderError`."""
    try:
        return environment.render(text, context)
    except TemplateError as error:
        raise RenderError(_sentence(where, error)) from None


def _sentence(where: str, error: TemplateError) -> str:
    line = f"line {error.line}: " if error.line is not None else ""
    advice = "; give it a default in spec.parameters or as a parameter" if error.undefined else ""
    return f"{where}: {line}{error.message}{advice}"
