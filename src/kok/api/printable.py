"""Text of strangers that is fit for a terminal. Pure.

Who answers for an API server, a host or a pod chooses what conditions, logs and errors quote of him.
Escape sequences among it would rule the terminal of whoever reads it; marks that turn the direction
of writing show him something else than what is there.
"""

from __future__ import annotations


def plain(text: str) -> str:
    """The text with `?` in place of every character that cannot be seen, line ends included.

    These are control characters, marks of format, halves of characters and those that no
    character is assigned to; of spaces there is only one kind.
    """
    return text if text.isprintable() else "".join(map(_seen, text))


def plain_lines(text: str) -> str:
    """The same of a text that may have lines."""
    return "\n".join(map(plain, text.split("\n")))


def cut_bytes(text: str, most: int) -> str:
    """The beginning of a text that takes so many bytes at most."""
    return text.encode(errors="replace")[:most].decode(errors="ignore")


def _seen(one: str) -> str:
    if one.isprintable():
        return one
    return " " if one.isspace() and one not in _ENDS else "?"


_ENDS = "\n\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029"
"""What begins a new line, or did on some device."""
