"""Functions that the scripts of all Components may call. Pure."""

from __future__ import annotations

import re
from typing import Final

from kok.operators.machine.remote import shell

_LIBRARIES: Final = {
    "units": re.compile(r"\b(?:reread|forget)_units\b"),
    "gpus": re.compile(r"\bnvidia_gpus\b"),
}
"""Files of functions, and what a script says that calls any of them."""


def complete(script: str) -> str:
    """A script, and before it what it calls of these functions: it also has to run where it was left
    on a host, by whichever release of the operator."""
    called = (name for name, words in _LIBRARIES.items() if words.search(script))
    return "".join([*map(shell.library, called), script])
