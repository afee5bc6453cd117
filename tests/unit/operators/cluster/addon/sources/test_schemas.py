"""What a schema says of values becomes a sentence with a path."""

from __future__ import annotations

from typing import Any

import pytest

from kok.operators.cluster.addon.sources.schemas import schema_problem

SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "replicas": {"type": "integer"},
        "mode": {"enum": ["a", "b"]},
        "hosts": {"type": "array", "items": {"$ref": "#/definitions/host"}},
        "any": {"$ref": "https://schemas.example/deployment.json"},
        "tls": {"type": ["object", "null"]},
    },
    "definitions": {"host": {"type": "object", "properties": {"port": {"maximum": 9}}}},
}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, None),
        ({"replicas": 2, "mode": "b", "any": [1], "tls": None}, None),
        ({"replicas": "2"}, "values.replicas: must be of type integer, not string"),
        ({"mode": "c"}, "values.mode: must be one of a, b"),
        ({"hosts": [{}, {"port": 10}]}, "values.hosts[1].port: 10 is greater than the maximum"),
        ({"tls": 1.5}, "values.tls: must be of type object or null, not number"),
        ({"x": "y"}, "values: Additional properties are not allowed ('x' was unexpected)"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(values: dict[str, Any], problem: str | None) -> None:
    found = schema_problem(SCHEMA, values)
    assert found is None if problem is None else (found or "").startswith(problem)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "text"}, "'text' is not valid under any"),
        ({"$ref": "#/definitions/none"}, "refers to /definitions/none"),
    ],
)
def test_what_is_no_schema_is_told(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        schema_problem(schema, {})


def test_long_values_are_not_quoted() -> None:
    found = schema_problem({"properties": {"a": {"maxLength": 3}}}, {"a": "x" * 1000})
    assert found == "values.a: does not fit maxLength"
