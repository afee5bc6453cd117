"""What strangers say is shown, not obeyed."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from kok.api.printable import cut_bytes, plain, plain_lines


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("all is well: \u00fc, \u4e2d, \U0001f600", "all is well: \u00fc, \u4e2d, \U0001f600"),
        ("\x1b[2J\x1b]0;root\x07", "?[2J?]0;root?"),
        ("\x9b2J", "?2J"),
        ("a\u202eb\u2066c\u200fd\u200be\ufefff", "a?b?c?d?e?f"),
        ("a\rb\nc\u2028d\x85e", "a?b?c?d?e"),
        ("a\u00a0b\tc", "a b c"),
        ("a\ud800", "a?"),
    ],
)
def test_what_cannot_be_seen_becomes_a_question_mark(text: str, seen: str) -> None:
    assert plain(text) == seen


def test_nothing_that_rules_a_terminal_is_left() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    left = {unicodedata.category(one) for one in plain(every)}
    assert not left & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert [one for one in plain_lines(every) if unicodedata.category(one) == "Cc"] == ["\n"]


def test_bytes_are_cut_between_characters() -> None:
    assert cut_bytes("\U0001f600" * 3, 9) == "\U0001f600" * 2
    assert cut_bytes("abc", 9) == "abc"
