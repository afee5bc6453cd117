"""Parameters of a Component: defaults of its schema filled in, then checked against it. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import jsonschema
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

Schema = Mapping[str, Any]
_DIALECT = jsonschema.Draft202012Validator


class ParamsError(Exception):
    """Parameters that do not fit, or a schema that is none; a sentence."""


def check_schema(schema: Schema) -> None:
    """Raises `ParamsError` if it is no JSON schema."""
    try:
        _DIALECT.check_schema(schema)
    except SchemaError as error:
        raise ParamsError(f"spec.parameters is not a JSON schema: {error.message}") from None


def complete(schema: Schema, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with defaults. Raises `ParamsError` naming the field that is wrong."""
    check_schema(schema)
    filled = _filled(schema, params)
    # A registry of nothing: a schema must not make the operator fetch what it refers to.
    validator = _DIALECT(schema, registry=Registry())
    try:
        wrong = min(validator.iter_errors(filled), key=_weight, default=None)
    except Unresolvable:
        raise ParamsError("spec.parameters refers to what is not in it; write it out") from None
    if wrong is not None:
        where = ".".join(["params", *(str(part) for part in wrong.absolute_path)])
        raise ParamsError(f"{where}: {wrong.message}")
    result: dict[str, Any] = filled
    return result


def _filled(schema: Schema, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    properties = schema.get("properties")
    filled = dict(value)
    if isinstance(properties, Mapping):
        for name, inner in properties.items():
            if not isinstance(inner, Mapping):
                continue
            if name not in filled and "default" in inner:
                filled[name] = copy.deepcopy(inner["default"])
            if name in filled:
                filled[name] = _filled(inner, filled[name])
    return filled


def _weight(error: ValidationError) -> tuple[int, str]:
    return len(error.absolute_path), error.message
