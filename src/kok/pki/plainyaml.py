"""Plain YAML, written and read: mappings, lists and text, and nothing that grows.

An alias repeats what it stands for wherever that is written out or compared: a kilobyte of them is
more than any machine holds. What KOK reads of others was written by KOK or by kubectl's like, and
these write none. Numbers, dates and tags are not read as such either: their readers raise what they
please, and a name is a name also if it is `1.0`.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from kok.pki.errors import PkiError

_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""In C it takes a fifth of the time, and writes the same."""


class _Alias(Exception):
    """There is one."""


class _Plain(yaml.BaseLoader):
    """In Python and not in C, which could not be kept from following aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Every node of a document comes by here."""
        if self.check_event(yaml.AliasEvent):
            raise _Alias
        return super().compose_node(parent, index)


def plain_yaml(text: str | bytes, what: str) -> Any:
    """The one document in a text; its leaves are text. Raises `PkiError` that begins with `what`.

    It takes seconds for 64 KiB that somebody made up: nothing for a loop that others wait for.
    """
    try:
        return yaml.load(text, Loader=_Plain)  # noqa: S506 - it makes nothing but lists and text
    except _Alias:
        raise PkiError(f"{what} has YAML aliases, which are not read") from None
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError):
        # The parser's message quotes the text, which holds keys.
        raise PkiError(f"{what} is not YAML") from None


def dump_yaml(document: Any) -> str:
    """A document as YAML text; equal documents give equal text, and no line is folded."""
    made: str = yaml.dump(
        document, Dumper=_DUMPER, sort_keys=True, default_flow_style=False, width=10**6
    )
    return made
