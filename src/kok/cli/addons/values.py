"""Values for an addon as a command line gives them: `--set a.b=c`, and files. Pure but for files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from kok.cli.query import Refused

_DOT = re.compile(r"(?<!\\)\.")


def given(files: Iterable[str], settings: Iterable[str]) -> dict[str, Any]:
    """The values of all files, later ones over earlier, and over them what was set; with nulls, which
    are to take values away. Raises `Refused`."""
    found: dict[str, Any] = {}
    for name in files:
        found = _over(found, _of_file(name), nulls=True)
    for text in settings:
        found = _over(found, setting(text), nulls=True)
    return found


def setting(text: str) -> dict[str, Any]:
    r"""What `--set` says. The value is YAML on one line; a dot in a name has a backslash before it.

    >>> setting("resources.limits={cpu: 1}")
    {'resources': {'limits': {'cpu': 1}}}
    >>> setting(r'labels.example\.org/team="7"')
    {'labels': {'example.org/team': '7'}}
    """
    path, equals, value = text.partition("=")
    names = [name.replace("\\.", ".") for name in _DOT.split(path)]
    if not equals or not all(names):
        raise Refused(f"--set {text}: write it as name=value, with dots in front of inner names")
    try:
        found = yaml.safe_load(value) if value else ""
    except yaml.YAMLError:
        raise Refused(f"--set {path}: the value is not YAML; put it into quotes") from None
    for name in reversed(names):
        found = {name: found}
    made: dict[str, Any] = _as_json(found, f"--set {path}")
    return made


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Values over others: maps are merged, all else is replaced, and null takes a value away."""
    return _over(under, over, nulls=False)


def _over(under: Mapping[str, Any], over: Mapping[str, Any], *, nulls: bool) -> dict[str, Any]:
    found = dict(under)
    for name, value in over.items():
        before = found.get(name)
        if isinstance(value, Mapping):
            inner = before if isinstance(before, Mapping) else {}
            found[name] = _over(inner, value, nulls=nulls)
        elif value is not None or nulls:
            found[name] = value
        else:
            found.pop(name, None)
    return found


def _of_file(name: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        found = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{name} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise Refused(f"{name}{line}: {getattr(error, 'problem', None) or 'not YAML'}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Refused(f"{name} must be a map of values, such as 'replicas: 3'")
    made: dict[str, Any] = _as_json(found, name)
    return made


def _as_json(value: Any, where: str) -> Any:
    """The same as JSON has it: names are texts, and so is a date."""
    if isinstance(value, Mapping):
        return {str(name): _as_json(inner, where) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_as_json(inner, where) for inner in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise Refused(f"{where}: {value!r} is no JSON; put it into quotes")
