"""The sandbox of all templates: strict, without a way out, and the same whenever it is used.

Filters beside Jinja2's own, for every template:

    yaml(indent=0)  the value as YAML without a final line break, further lines indented
    to_yaml         the value as a YAML document, with its final line break
    json            the value as JSON in ASCII, keys sorted
    to_json         the same with other scripts as they are: a string is a TOML string, too
    b64encode       the text in base64, as `data` of a Secret wants it
    sha256          the text's SHA-256 in hexadecimal
    sh              the text quoted for a shell
    merge(over)     two maps merged at every depth; what is no map is replaced

and the test `ipv6`, which tells such an address. What is asked for and not there is an error.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
import traceback
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jinja2
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment

COMPILED = 128
"""Texts that are kept compiled: templates are looked at on every pass and hardly ever change."""

_NAME = "<template>"
"""What Jinja2 calls the file of a template that comes from a text."""


class TemplateError(Exception):
    """A template that cannot be read or rendered. The message says what is wrong, not where."""

    def __init__(self, message: str, *, line: int | None = None, undefined: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        """Of the template, where it cannot be read or went wrong; None if that is not known."""
        self.undefined = undefined
        """Whether it asks for what nobody gave."""


def check(text: str) -> None:
    """Raises `TemplateError` for a text that is no template."""
    try:
        _ENVIRONMENT.parse(text)
    except jinja2.TemplateSyntaxError as error:
        raise _unreadable(error) from None
    except RecursionError:
        raise TemplateError("it is nested too deeply; make it flatter") from None


def render(text: str, context: Mapping[str, Any]) -> str:
    """The text with values put in. Raises `TemplateError`, and `MemoryError` as it comes."""
    try:
        return _compiled(text).render(context)
    except jinja2.TemplateSyntaxError as error:
        raise _unreadable(error) from None
    except jinja2.UndefinedError as error:
        raise TemplateError(str(error), line=_line_of(error), undefined=True) from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a template may raise anything by what it calls
        text = str(error) or type(error).__name__
        raise TemplateError(text, line=_line_of(error)) from None


def _line_of(error: Exception) -> int | None:
    """The innermost line of a template that an error came through: Jinja2 puts it in the traceback."""
    return next(
        (
            line
            for frame, line in reversed(list(traceback.walk_tb(error.__traceback__)))
            if frame.f_code.co_filename == _NAME
        ),
        None,
    )


def _unreadable(error: jinja2.TemplateSyntaxError) -> TemplateError:
    return TemplateError(error.message or "it cannot be read", line=error.lineno)


@lru_cache(maxsize=COMPILED)
def _compiled(text: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(text)


def _unwritable(value: Any) -> Any:
    """Raises `UndefinedError` with the name of what nobody gave, `TypeError` for anything else."""
    if isinstance(value, jinja2.Undefined):
        str(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be written")


class _Dumper(yaml.SafeDumper):
    """One that names what is not there."""


_Dumper.add_multi_representer(jinja2.Undefined, lambda _, value: _unwritable(value))


def _dump(value: Any) -> str:
    made: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, sort_keys=True, width=10**6
    )
    return made


def _json(value: Any, *, ascii_only: bool) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=ascii_only, default=_unwritable)


def _yaml(value: Any, indent: int = 0) -> str:
    text = _dump(value).rstrip()
    text = text.removesuffix("\n...")
    return text.replace("\n", "\n" + " " * indent)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _environment() -> jinja2.Environment:
    """Users write templates, and the operator may do more than they: hence the sandbox."""
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    # It would make other manifests at every look.
    del environment.globals["lipsum"]
    environment.filters |= {
        "yaml": _yaml,
        "to_yaml": _dump,
        "json": lambda value: _json(value, ascii_only=True),
        "to_json": lambda value: _json(value, ascii_only=False),
        "b64encode": lambda text: base64.b64encode(str(text).encode()).decode(),
        "sha256": lambda text: hashlib.sha256(str(text).encode()).hexdigest(),
        "sh": lambda value: shlex.quote(str(value)),
        "merge": _merge,
    }
    environment.tests["ipv6"] = lambda address: ":" in str(address)
    return environment


_ENVIRONMENT = _environment()
