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
        ({"hosts": [{}, {"port": 10}]}, "values.hosts[1].port: must be 9 or less"),
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


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"minLength": 5000}, "must have 5000 or more characters"),
        ({"maxLength": 3}, "must have 3 or fewer characters"),
        ({"pattern": "^[0-9]+$"}, "must match ^[0-9]+$"),
        ({"const": "other"}, "must be one of other"),
        ({"not": {"type": "string"}}, "does not fit not"),
    ],
)
@pytest.mark.parametrize("value", ['s3\\cr"3t', "x" * 1000], ids=["odd", "long"])
def test_a_value_is_not_quoted_but_what_is_wanted_of_it(
    rule: dict[str, Any], words: str, value: str
) -> None:
    assert schema_problem({"properties": {"a": rule}}, {"a": value}) == f"values.a: {words}"


def test_nothing_is_quoted_either_where_nothing_is_allowed() -> None:
    assert schema_problem({"properties": {"a": False}}, {"a": "s3cr3t"}) == (
        "values: holds what is not allowed"
    )
    assert schema_problem({"properties": {"a": {"uniqueItems": True}}}, {"a": ["x", "x"]}) == (
        "values.a: must not have the same item twice"
    )
