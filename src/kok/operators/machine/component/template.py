"""Jinja2 for Components: sandboxed, since templates come from users; strict, and the same always."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

DEEP = "it is nested too deeply; make it flatter"


class RenderError(Exception):
    """A template that cannot be rendered; a sentence that says where and why."""


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Maps merged at every depth; anything else of `over` takes the place of what was there."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _to_yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=True, default_flow_style=False, width=10**6)


def _to_json(value: Any) -> str:
    # Also a TOML string, where `value` is a string: JSON's escapes are TOML's.
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.globals.clear()
    environment.filters |= {
        "merge": _merge,
        "sh": lambda value: shlex.quote(str(value)),
        "to_json": _to_json,
        "to_yaml": _to_yaml,
    }
    return environment


_ENVIRONMENT = _environment()


def check(where: str, text: str) -> None:
    """Raises `RenderError` if a template cannot be parsed."""
    try:
        _ENVIRONMENT.parse(text)
    except TemplateSyntaxError as error:
        raise RenderError(f"{where}: line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise RenderError(f"{where}: {DEEP}") from None


def render(where: str, text: str, context: Mapping[str, Any]) -> str:
    """The text with values put in. Raises `RenderError`."""
    try:
        return _ENVIRONMENT.from_string(text).render(context)
    except TemplateSyntaxError as error:
        raise RenderError(f"{where}: line {error.lineno}: {error.message}") from None
    except UndefinedError as error:
        raise RenderError(
            f"{where}: {error.message}; give it a default in spec.parameters or as a parameter"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a template may raise anything by what it calls
        raise RenderError(f"{where}: {error or type(error).__name__}") from None
