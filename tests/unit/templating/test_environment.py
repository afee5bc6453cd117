"""The sandbox: every template has the same filters, and no way out."""

from __future__ import annotations

import pytest

from kok.templating.environment import TemplateError, check, render


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{{ {'b': [1], 'a': 'ü'} | yaml }}", 'a: "\\xFC"\nb:\n- 1'),
        ("x:\n  {{ {'b': {'c': 1}} | yaml(2) }}", "x:\n  b:\n    c: 1"),
        ("{{ 'word' | yaml }}", "word"),
        ("{{ {'b': 1, 'a': 2} | to_yaml }}", "a: 2\nb: 1\n"),
        ("{{ {'b': 'ü', 'a': 2} | json }}", '{"a": 2, "b": "\\u00fc"}'),
        ("{{ 'ü' | to_json }}", '"ü"'),
        ("{{ 'ü' | b64encode }}", "w7w="),
        ("{{ 'a' | sha256 }}", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("{{ 'it is' | sh }}", "'it is'"),
        (
            "{{ {'a': {'b': 1, 'c': 2}} | merge({'a': {'b': 3}}) | json }}",
            '{"a": {"b": 3, "c": 2}}',
        ),
        ("{{ 'fd00::1' is ipv6 }} {{ '10.0.0.1' is ipv6 }}", "True False"),
        ("{% if true %}\none\n{% endif %}\n", "one\n"),
    ],
)
def test_filters_that_every_template_has(text: str, made: str) -> None:
    assert render(text, {}) == made


def test_what_is_no_template_is_told_with_its_line() -> None:
    text = "one\n{{ x |"
    for work in (lambda: check(text), lambda: render(text, {})):
        with pytest.raises(TemplateError) as told:
            work()
        assert told.value.line == 2
        assert not told.value.undefined


def test_what_nobody_gave_is_an_error_of_its_own() -> None:
    with pytest.raises(TemplateError, match="'nope' is undefined") as told:
        render("{{ nope }}", {})
    assert told.value.undefined


@pytest.mark.parametrize("name", ["json", "to_json", "yaml", "to_yaml"])
def test_a_filter_names_what_nobody_gave(name: str) -> None:
    for value in ("nope", "{'inside': [nope]}"):
        with pytest.raises(TemplateError, match="'nope' is undefined") as told:
            render(f"one\n{{{{ {value} | {name} }}}}", {})
        assert told.value.undefined
        assert told.value.line == 2


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ values.update({'a': 1}) }}",
        "{{ lipsum() }}",
        "{{ 1 / 0 }}",
    ],
)
def test_there_is_no_way_out_and_nothing_that_differs_from_look_to_look(text: str) -> None:
    with pytest.raises(TemplateError):
        render(text, {"values": {}})


def test_a_template_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(TemplateError, match="nested too deeply"):
        check("{{ " + "(" * 20_000 + ")" * 20_000 + " }}")
