"""Values from Secrets and ConfigMaps: which wins, what is told, and what never is."""

from __future__ import annotations

import json

import pytest
from tests.unit.operators.cluster.addon.sources.conftest import Workplace, context
from tests.unit.operators.cluster.addon.sources.repositories import chart

from kok.api.cluster.addon import Addon
from kok.api.meta import Manifest
from kok.runtime.controller.errors import Invalid, ReconcileStop, Wait

TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {{ values | json }}
"""
SECRET = [{"secret": "words"}]


async def data(workplace: Workplace, template: str = TEMPLATE, **spec: object) -> dict[str, object]:
    """What the template made of the values."""
    made = await workplace.bundle({"inline": template}, **spec)
    manifest: Manifest = made.manifests[0]
    found: dict[str, object] = manifest["data"]
    return found


async def test_later_values_go_over_earlier_ones_and_its_own_over_all(workplace: Workplace) -> None:
    workplace.put("ConfigMap", "sizes", **{"values.yaml": "a: 1\nb: {c: 1, d: 1}\nlist: [1, 2]"})
    workplace.put("Secret", "words", web="b: {d: 2, e: 2}\nlist: [3]")
    sources = [{"configMap": "sizes"}, {"secret": "words", "key": "web"}]
    found = await data(workplace, valuesFrom=sources, values={"b": {"e": 3}})
    assert found == {"a": 1, "b": {"c": 1, "d": 2, "e": 3}, "list": [3]}


async def test_what_is_missing_is_waited_for_unless_it_is_optional(workplace: Workplace) -> None:
    with pytest.raises(Wait, match=r"Secret ns/words, which spec.valuesFrom names, does not exist"):
        await data(workplace, valuesFrom=SECRET)
    workplace.put("Secret", "words", other="a: 1")
    with pytest.raises(Wait, match=r"has no key values.yaml; create it, or write optional: true"):
        await data(workplace, valuesFrom=SECRET)
    optional = [{"secret": "words", "optional": True}, {"configMap": "none", "optional": True}]
    assert await data(workplace, valuesFrom=optional, values={"x": 1}) == {"x": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- pass-word-1", "holds no map of values"),
        ("a: [pass-word-1", "key values.yaml, line 2: it is no YAML"),
        ("pass-word-1", "holds no map of values"),
        ("1: pass-word-1", "holds no map of values"),
        ("a: &a [*a, pass-word-1]", "holds no map of values"),
        ("a: " + "x" * 200_000, "holds more than 128 KiB"),
    ],
)
async def test_what_is_no_map_is_told_and_not_quoted(
    workplace: Workplace, text: str, words: str
) -> None:
    workplace.put("Secret", "words", **{"values.yaml": text})
    with pytest.raises(Invalid) as caught:
        await data(workplace, valuesFrom=SECRET)
    assert words in caught.value.message
    assert "pass-word-1" not in caught.value.message
    assert caught.value.reason == "ValuesInvalid"


async def test_what_came_from_a_secret_is_never_told(workplace: Workplace) -> None:
    workplace.put("Secret", "words", **{"values.yaml": "replicas: pass-word-1\nword: s3cr3t"})
    workplace.server.add(
        chart(**{"templates/bad.yaml": "{{ fail .Values.word }}", "values.schema.json": "{}"})
    )
    with pytest.raises(ReconcileStop) as caught:
        await workplace.bundle(workplace.chart(), valuesFrom=SECRET)
    assert "line 1: ***" in caught.value.message
    schema = '{"properties": {"replicas": {"enum": [1, 2]}, "word": {"maxLength": 2}}}'
    workplace.server.add(chart(**{"values.schema.json": schema}), "1.3.0")
    for values in ({}, {"replicas": 1}):
        with pytest.raises(ReconcileStop) as caught:
            await workplace.bundle(
                workplace.chart(version="1.3.0"), valuesFrom=SECRET, values=values
            )
        assert caught.value.reason == "ValuesInvalid"
        assert "pass-word-1" not in caught.value.message
        assert "s3cr3t" not in caught.value.message


def quoted(message: str, secret: str, length: int = 8) -> set[str]:
    """Parts of a secret that a message has."""
    parts = (secret[n : n + length] for n in range(len(secret) - length + 1))
    return {part for part in parts if part in message}


@pytest.mark.parametrize(
    "secret", ["tab\\cd-s3\"cr't", "-".join(str(n) for n in range(1000, 1200))], ids=["odd", "long"]
)
async def test_a_secret_is_not_told_either_where_it_is_escaped_or_cut(
    workplace: Workplace, secret: str
) -> None:
    workplace.put("Secret", "words", **{"values.yaml": json.dumps({"word": secret})})
    schema = '{"properties": {"word": {"enum": ["a"]}}}'
    workplace.server.add(chart(**{"values.schema.json": schema}))
    failing = {"templates/bad.yaml": "{{ fail .Values.word }}", "values.schema.json": "{}"}
    workplace.server.add(chart(**failing), "1.3.0")
    failing["templates/bad.yaml"] = '{{ fail (printf "%q" .Values.word) }}'
    workplace.server.add(chart(**failing), "1.4.0")
    for version in ("1.2.0", "1.3.0", "1.4.0"):
        with pytest.raises(ReconcileStop) as caught:
            await workplace.bundle(workplace.chart(version=version), valuesFrom=SECRET)
        assert quoted(caught.value.message, secret) == set()


async def test_neither_a_schema_nor_a_cut_sentence_tells_of_a_secret(workplace: Workplace) -> None:
    odd, long = 's3\\cr"3t', "-".join(str(n) for n in range(1000, 1180))
    schema = '{"properties": {"word": {"minLength": 50}}}'
    workplace.server.add(chart(**{"values.schema.json": schema}))
    # So much before it that no more than 10 characters of it are left of the 600.
    failing = '{{ fail (printf "%s%s" (repeat 590 "x") .Values.word) }}'
    workplace.server.add(
        chart(**{"templates/bad.yaml": failing, "values.schema.json": "{}"}), "1.3.0"
    )
    for version, secret, words in (
        ("1.2.0", odd, "values.word: must have 50 or more characters"),
        ("1.3.0", long, "x***"),
    ):
        workplace.put("Secret", "words", **{"values.yaml": json.dumps({"word": secret})})
        with pytest.raises(ReconcileStop) as caught:
            await workplace.bundle(workplace.chart(version=version), valuesFrom=SECRET)
        assert words in caught.value.message
        assert quoted(caught.value.message, secret) == set()


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("s3cr3t", "s3cr3t"),
        ('a\x1b"b\x07c\x85d', r"a\x1b\"b\ac\u0085d"),
        ("it's\"so\\", r"it's\"so\\"),
        ("a&b<c>d", r"a\u0026b\u003cc\u003ed"),
        ("one  two\tthree", "one two three"),
        ("one\x00two", "one?two"),
    ],
    ids=["plain", "control", "quotes", "html", "blanks", "unseen"],
)
async def test_what_an_api_server_quotes_of_a_secret_is_not_told(
    workplace: Workplace, secret: str, said: str
) -> None:
    workplace.put("Secret", "words", **{"values.yaml": json.dumps({"word": secret})})
    spec = {"cluster": "shop", "source": {"inline": TEMPLATE}, "valuesFrom": SECRET}
    addon = Addon.parse({"metadata": {"name": "mine", "namespace": "ns"}, "spec": spec})
    with pytest.raises(Wait) as caught:
        async with workplace.renderer.work(workplace.kube, addon, context()):
            raise Wait("ApplyFailed", f'refused: Invalid value: "{said}"', 7.0)
    assert (caught.value.message, caught.value.after) == ('refused: Invalid value: "***"', 7.0)


async def test_a_cluster_of_another_version_is_left_as_it_is(workplace: Workplace) -> None:
    with pytest.raises(Invalid) as caught:
        await data(workplace, kubernetes=">=1.34 <1.37")
    assert caught.value.reason == "KubernetesUnsupported"
    assert "runs Kubernetes 1.37.1, and spec.kubernetes is >=1.34 <1.37: take a source" in (
        caught.value.message
    )
    assert await data(workplace, kubernetes=">=1.34 <1.38", values={"x": 1}) == {"x": 1}
