"""Functions that the scripts of all Components may call. Pure."""

from __future__ import annotations

import re

from kok.operators.machine.remote import shell

_LIBRARY = "units"
_WORDS = re.compile(r"\b(?:reread|forget)_units\b")


def complete(script: str) -> str:
    """A script, and before it what it calls of these functions: it also has to run where it was left
    on a host, by whichever release of the operator."""
    return f"{shell.library(_LIBRARY)}{script}" if _WORDS.search(script) else script
