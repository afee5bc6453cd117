"""Whether values are what a JSON schema says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from kok.addons import builtin_addon

_SHOWN: Final = 200
_RULES: Final = {
    "minLength": "must have {} or more characters",
    "maxLength": "must have {} or fewer characters",
    "minItems": "must have {} or more items",
    "maxItems": "must have {} or fewer items",
    "minProperties": "must have {} or more fields",
    "maxProperties": "must have {} or fewer fields",
    "minimum": "must be {} or more",
    "maximum": "must be {} or less",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "uniqueItems": "must not have the same item twice",
    "format": "must be of format {}",
}
"""What they want, by their names."""
_OF_KEYS: Final = frozenset(
    {"required", "dependentRequired", "additionalProperties", "unevaluatedProperties"}
)
"""Rules whose violation is told by the names of fields, and never by a value."""


def schema_problem(schema: Mapping[str, Any], values: Mapping[str, Any]) -> str | None:
    """The first thing that is wrong, as a sentence that begins with its path, or None.

    What the schema refers to elsewhere is not looked at: it may say anything. Raises `ValueError` for
    a schema that is none.
    """
    return _problem(_validator(schema), values)


def builtin_problem(name: str, values: Mapping[str, Any]) -> str | None:
    """The same for the built-in addon of a name, if that has a schema."""
    validator = _of_builtin(name)
    return None if validator is None else _problem(validator, values)


@cache
def _of_builtin(name: str) -> Validator | None:
    schema = builtin_addon(name).values_schema
    return None if schema is None else _validator(schema)


def _validator(schema: Mapping[str, Any]) -> Validator:
    own = _self_contained(schema)
    kind = validator_for(own, default=Draft202012Validator)
    try:
        kind.check_schema(own)
    except SchemaError as error:
        raise ValueError(f"{_path('schema', error.absolute_path)}: {error.message}") from None
    made: Validator = kind(own, registry=Registry())
    return made


def _problem(validator: Validator, values: Mapping[str, Any]) -> str | None:
    try:
        worst = best_match(validator.iter_errors(values))
    except Unresolvable as error:
        raise ValueError(f"it refers to {error.ref}, which it does not have") from None
    return None if worst is None else f"{_path('values', worst.absolute_path)}: {_said(worst)}"


def _said(error: ValidationError) -> str:
    """What is wrong, in words of few enough characters.

    By the rule alone: a value may be a secret, and in a quotation it is hard to know again.
    """
    wanted = error.validator_value
    match error.validator:
        case "type":
            kinds = wanted if isinstance(wanted, list) else [wanted]
            return f"must be of type {' or '.join(map(str, kinds))}, not {_kind(error.instance)}"
        case "enum" | "const":
            choices = wanted if isinstance(wanted, list) else [wanted]
            return f"must be one of {', '.join(map(str, choices))}"[:_SHOWN]
        case "pattern":
            return f"must match {wanted}"[:_SHOWN]
    rule = _RULES.get(str(error.validator))
    if rule is not None:
        return rule.format(wanted)[:_SHOWN]
    if error.validator in _OF_KEYS and len(error.message) <= _SHOWN:
        return error.message
    # Of a schema that is `false` jsonschema does not tell for which of the fields.
    return f"does not fit {error.validator}" if error.validator else "holds what is not allowed"


def _kind(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return "null" if value is None else names.get(type(value), "object")


def _path(root: str, steps: Iterable[str | int]) -> str:
    return root + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps)


def _self_contained(schema: Any) -> Any:
    """The schema without what it says by the words of others: nobody is asked for these."""
    if isinstance(schema, Mapping):
        return {
            key: _self_contained(value)
            for key, value in schema.items()
            if not (key in {"$ref", "$dynamicRef"} and _elsewhere(value))
        }
    return [_self_contained(one) for one in schema] if isinstance(schema, list) else schema


def _elsewhere(reference: Any) -> bool:
    return isinstance(reference, str) and not reference.startswith("#")
