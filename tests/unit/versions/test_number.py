"""Versions are three numbers and order as numbers do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version as Reference

from kok.versions import Minor, UnknownVersion, Version, parse

numbers = st.integers(0, 999_999)
versions = st.builds(Version, numbers, numbers, numbers)


@given(versions)
def test_what_is_written_is_read_back(version):
    assert parse(str(version)) == version
    assert str(parse(str(version))) == str(version)
    assert version.line == Minor(version.major, version.minor)


@given(versions, versions)
def test_order_is_that_of_the_reference(one, two):
    assert (one < two) == (Reference(str(one)) < Reference(str(two)))
    assert (one == two) == (str(one) == str(two))


def test_ten_comes_after_nine():
    assert parse("3.6.9") < parse("3.6.10") < parse("3.10.0")
    assert Minor(1, 9) < Minor(1, 10)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("v1.37.1", "v1.37.1 is not a version; write 1.37.1"),
        ("1.37", "'1.37' is not a version; write three numbers such as 1.37.1"),
        ("", "'' is not a version; write three numbers such as 1.37.1"),
        ("latest", "'latest' is not a version; write three numbers such as 1.37.1"),
        ("1.37.1\n", "'1.37.1\\n' is not a version; write three numbers such as 1.37.1"),
        ("1.37.01", "'1.37.01' is not a version; write three numbers such as 1.37.1"),
        ("1.38.0-rc.1", "'1.38.0-rc.1' is not a version; write three numbers such as 1.37.1"),
        (
            "\u0661.37.1",
            "'\u0661.37.1' is not a version; write three numbers such as 1.37.1",
        ),
    ],
)
def test_anything_else_is_refused_with_a_sentence(text, sentence):
    with pytest.raises(UnknownVersion) as found:
        parse(text)
    assert str(found.value) == sentence


@given(st.text(max_size=40))
def test_any_text_is_a_version_or_gets_a_sentence(text):
    try:
        found = str(parse(text))
    except UnknownVersion as error:
        found = str(error)
    assert found == text or " is not a version; write " in found
