"""Values on a command line: one by one, and by files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kok.cli.addons.values import given, merged, setting
from kok.cli.query import Refused


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mode=ipvs", {"mode": "ipvs"}),
        ("replicas=3", {"replicas": 3}),
        ("a.b.c=true", {"a": {"b": {"c": True}}}),
        ("a='3'", {"a": "3"}),
        ("a=", {"a": ""}),
        ("a=null", {"a": None}),
        ("a=[x, {y: 1}]", {"a": ["x", {"y": 1}]}),
        (r"a.example\.org/b=x=y", {"a": {"example.org/b": "x=y"}}),
        ("a={1: x}", {"a": {"1": "x"}}),
    ],
)
def test_one_value_is_yaml_at_a_place(text: str, found: dict[str, Any]) -> None:
    assert setting(text) == found


@pytest.mark.parametrize("text", ["mode", "=x", "a..b=1", "a=[", "a=2026-01-01"])
def test_what_is_no_value_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(Refused, match=r"^--set "):
        setting(text)


def test_maps_are_merged_all_else_is_replaced_and_null_takes_away() -> None:
    under = {"a": {"x": 1, "y": 2}, "list": [1, 2], "gone": {"z": 1}, "kept": True}
    over = {"a": {"y": 3}, "list": [3], "gone": None, "new": {"q": 1}}
    assert merged(under, over) == {
        "a": {"x": 1, "y": 3},
        "list": [3],
        "kept": True,
        "new": {"q": 1},
    }


def test_later_files_go_over_earlier_ones_and_what_is_set_over_all(tmp_path: Path) -> None:
    first, second, none = (tmp_path / name for name in ("1", "2", "3"))
    first.write_text("a: {x: 1, y: 1, z: 1}\n")
    second.write_text("a: {y: 2, z: 2}\n")
    none.write_text("# nothing\n")
    found = given([str(first), str(second), str(none)], ["a.z=3"])
    assert found == {"a": {"x": 1, "y": 2, "z": 3}}


@pytest.mark.parametrize(
    ("text", "told"),
    [("a: [\n", ", line 2: "), ("[1]", " must be a map"), ("a: 2026-01-01", " is no JSON")],
)
def test_a_file_that_holds_no_values_is_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(text)
    with pytest.raises(Refused) as refused:
        given([str(file)], [])
    assert refused.value.message.startswith(str(file))
    assert told in refused.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        given([str(tmp_path / "nobody")], [])


def test_a_null_is_kept_until_there_is_something_to_take_away() -> None:
    assert given([], ["a.x=null", "b=null"]) == {"a": {"x": None}, "b": None}
    assert merged({"a": {"x": 1, "y": 2}, "b": 3}, given([], ["a.x=null", "b=null"])) == {
        "a": {"y": 2}
    }
