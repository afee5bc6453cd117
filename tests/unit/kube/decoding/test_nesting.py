"""JSON that is nested too deeply is cut, everything else is left as it is."""

from __future__ import annotations

import json
import time

import pytest

from kok.kube.decoding.nesting import ALLOWED, DEEPEST, parse, shallow, too_deep


def nested(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * levels + '"}]{["' + closing * levels


def deep(levels: int) -> object:
    value: object = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    "text", ['{"a": [1, "}}]]{\\"", null]}', '"x"', "[]", nested(150), '{"a":"\\ud83d\\ude00 é"}']
)
def test_usual_json_is_left_as_it_is(text: str) -> None:
    assert shallow(text.encode()) == text.encode()
    assert parse(text.encode()) == json.loads(text)


@pytest.mark.parametrize("levels", [300, 9000])
@pytest.mark.parametrize("brackets", [('{"a":', "}"), ("[", "]"), ('{"b\\"]":0,"a":', "}")])
def test_what_lies_too_deep_is_null_and_all_around_it_stays(
    levels: int, brackets: tuple[str, str]
) -> None:
    text = f'{{"items":[{{"x":1}},{nested(levels, *brackets)},{{"y":"}}"}}]}}'
    found = parse(text.encode())
    assert found["items"][0] == {"x": 1}
    assert found["items"][2] == {"y": "}"}
    inner, depth = found["items"][1], 2
    while inner is not None:
        inner, depth = inner["a"] if isinstance(inner, dict) else inner[0], depth + 1
    assert depth == DEEPEST
    assert too_deep(found["items"][1]), "so that whoever uses it refuses it"


@pytest.mark.parametrize("text", [b"[" * 100_000, b"}" * 300, b'{"a":', b'"' * 1001])
def test_what_is_no_json_stays_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_cutting_is_linear() -> None:
    for text in (b'["' + b"\\" * 10**6, b"[" * 10**6, b'"' * (10**6 + 1), b"[]" * 10**6):
        begin = time.process_time()
        shallow(text)
        assert time.process_time() - begin < 5


def test_levels_are_counted() -> None:
    assert not too_deep(deep(ALLOWED))
    assert too_deep(deep(ALLOWED + 1))
    assert not too_deep([[1] * 1000] * 1000)
