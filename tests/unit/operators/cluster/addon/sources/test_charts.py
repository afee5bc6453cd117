"""Helm charts: rendered by the real helm, with everything that may be wrong with one told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.operators.cluster.addon.sources.conftest import Workplace
from tests.unit.operators.cluster.addon.sources.repositories import SCHEMA, chart, packed

from kok.api.meta import Manifest
from kok.runtime.controller.errors import Invalid


async def of_chart(workplace: Workplace, *, values: Any = None, **files: str | bytes) -> Any:
    """The objects of the chart `demo` with these files, by kind and name."""
    source: dict[str, Any] = files.pop("source", {})  # type: ignore[assignment]
    workplace.server.add(chart(**files))
    made = await workplace.bundle(workplace.chart(**source), values=values or {})
    return {(m["kind"], m["metadata"]["name"]): m for m in made.manifests}


async def test_a_chart_is_rendered_for_its_cluster_and_its_values(workplace: Workplace) -> None:
    workplace.server.add(chart())
    made = await workplace.bundle(workplace.chart(namespace="web"), values={"word": "hi"})
    (manifest,) = made.manifests
    assert manifest["metadata"]["name"] == "mine-config"
    assert manifest["metadata"]["labels"] == {"kok.dev/addon": "mine"}
    assert manifest["data"] == {
        "replicas": "2",
        "word": "hi",
        "kubernetes": "v1.37.1",
        "found": "{}",
    }
    assert (made.version, made.namespace) == ("1.2.0", "web")
    assert made.source is not None
    assert made.source.url == f"{workplace.server.url}/demo-1.2.0.tgz"


async def test_a_long_name_comes_to_a_release_that_helm_takes(workplace: Workplace) -> None:
    workplace.server.add(chart())
    made = await workplace.bundle(workplace.chart(), name=f"{'a' * 52}-0123456789")
    (manifest,) = made.manifests
    assert manifest["metadata"]["name"] == f"{'a' * 52}-config"


async def test_at_rest_nobody_is_asked_and_nothing_is_rendered(workplace: Workplace) -> None:
    workplace.server.add(chart())
    first = await workplace.bundle(workplace.chart())
    workplace.server.asked.clear()
    workplace.server.down = True
    assert (await workplace.bundle(workplace.chart())).manifests == first.manifests
    assert workplace.server.asked == []


async def test_a_range_is_resolved_once(workplace: Workplace) -> None:
    for version in ("1.2.0", "1.10.0", "2.0.0", "1.11.0-rc.1"):
        workplace.server.add(chart(version), version)
    assert (await workplace.bundle(workplace.chart(version="^1.2"))).version == "1.10.0"
    workplace.server.add(chart("1.12.0"), "1.12.0")
    await workplace.restart()
    assert (await workplace.bundle(workplace.chart(version="^1.2"))).version == "1.10.0"
    # Who writes another range has it looked up anew.
    assert (await workplace.bundle(workplace.chart(version="^1.3"))).version == "1.12.0"


async def test_a_namespace_of_its_own_is_made_where_that_is_asked_for(workplace: Workplace) -> None:
    found = await of_chart(workplace, source={"namespace": "web", "createNamespace": True})
    assert ("Namespace", "web") in found


def _hook(kind: str, name: str, hook: str, policy: str = "before-hook-creation") -> str:
    notes = {"helm.sh/hook": hook, "helm.sh/hook-delete-policy": policy}
    version = "batch/v1" if kind == "Job" else "v1"
    meta = {"name": name, "annotations": notes}
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": meta})


async def test_hooks_are_refused_by_name_or_left_out(workplace: Workplace) -> None:
    files = {
        "templates/job.yaml": _hook("Job", "migrate", "pre-upgrade,pre-install"),
        "templates/account.yaml": _hook("ServiceAccount", "migrator", "pre-install"),
        "templates/helper.yaml": _hook("ConfigMap", "script", "pre-install", "hook-succeeded"),
        "templates/test.yaml": _hook("Pod", "try", "test"),
    }
    with pytest.raises(Invalid) as caught:
        await of_chart(workplace, **files)
    assert caught.value.reason == "HooksRefused"
    assert "ConfigMap script (pre-install), Job migrate (pre-install, pre-upgrade)" in (
        caught.value.message
    ) or "Job migrate (pre-install, pre-upgrade), ConfigMap script (pre-install)" in (
        caught.value.message
    )
    assert "try" not in caught.value.message
    found = await of_chart(workplace, source={"hooks": "Ignore"}, **files)
    assert set(found) == {("ConfigMap", "mine-config"), ("ServiceAccount", "migrator")}


async def test_crds_come_along(workplace: Workplace) -> None:
    crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x}"
    assert ("CustomResourceDefinition", "x") in await of_chart(workplace, **{"crds/x.yaml": crd})


async def test_what_a_chart_finds_of_other_apis_is_what_was_said(workplace: Workplace) -> None:
    text = (
        '{{ if .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" }}apiVersion: v1\n'
        "kind: Secret\nmetadata: {name: there}{{ end }}"
    )
    files = {"templates/a.yaml": text}
    assert ("Secret", "there") not in await of_chart(workplace, **files)
    source = {"apiVersions": ["monitoring.coreos.com/v1"]}
    assert ("Secret", "there") in await of_chart(workplace, source=source, **files)


MISTAKES: list[tuple[str, dict[str, str], dict[str, Any], str, str]] = [
    (
        "nil",
        {"templates/bad.yaml": "a: 1\nb: {{ .Values.nothing.inside }}"},
        {},
        "TemplateInvalid",
        "chart demo 1.2.0, demo/templates/bad.yaml, line 2: at <.Values.nothing.inside>: nil "
        "pointer evaluating",
    ),
    (
        "syntax",
        {"templates/bad.yaml": "a: 1\n\nb: {{ if }}"},
        {},
        "TemplateInvalid",
        "chart demo 1.2.0, demo/templates/bad.yaml, line 3: missing value for if",
    ),
    (
        "yaml",
        {"templates/bad.yaml": "a: 1\nb: [1"},
        {},
        "TemplateInvalid",
        "chart demo 1.2.0, demo/templates/bad.yaml, line 2 as rendered",
    ),
    (
        "fail",
        {"templates/bad.yaml": '{{ fail "set a domain" }}'},
        {},
        "TemplateInvalid",
        "chart demo 1.2.0, demo/templates/bad.yaml, line 1: set a domain",
    ),
    (
        "helper",
        {
            "templates/_helpers.tpl": '{{ define "x" }}\n{{ .Values.a.b }}{{ end }}',
            "templates/bad.yaml": 'a: {{ include "x" . }}',
        },
        {},
        "TemplateInvalid",
        "chart demo 1.2.0, demo/templates/_helpers.tpl, line 2: at <.Values.a.b>: nil pointer",
    ),
    (
        "type",
        {},
        {"replicas": "three"},
        "ValuesInvalid",
        "values.replicas: must be of type integer, not string (values.schema.json of chart demo "
        "1.2.0)",
    ),
    (
        "minimum",
        {},
        {"replicas": 0},
        "ValuesInvalid",
        "values.replicas: must be 1 or more",
    ),
    (
        "kubernetes",
        {"Chart.yaml": "{apiVersion: v2, name: demo, version: 1.2.0, kubeVersion: '>=1.99'}"},
        {},
        "KubernetesUnsupported",
        "chart demo 1.2.0: chart requires kubeVersion: >=1.99 which is incompatible with "
        "Kubernetes v1.37.1",
    ),
    (
        "dependency",
        {
            "Chart.yaml": "{apiVersion: v2, name: demo, version: 1.2.0, dependencies: "
            "[{name: base, version: 1.0.0, repository: 'https://charts.example'}]}"
        },
        {},
        "SourceInvalid",
        "chart demo 1.2.0 lacks charts that it depends on: base",
    ),
    (
        "random",
        {
            "templates/bad.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\n"
            "stringData: {a: {{ randAlphaNum 20 }}}"
        },
        {},
        "TemplateInvalid",
        "Secret key comes out differently each time",
    ),
]


@pytest.mark.parametrize(
    ("files", "values", "reason", "words"),
    [one[1:] for one in MISTAKES],
    ids=[one[0] for one in MISTAKES],
)
async def test_a_mistake_is_told_with_its_place(
    workplace: Workplace, files: dict[str, str], values: dict[str, Any], reason: str, words: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await of_chart(workplace, values=values, **files)
    assert words in caught.value.message
    assert caught.value.reason == reason


LOOP = "{{ range $a := until 99999 }}{{ range $b := until 99999 }}{{ end }}{{ end }}"
HUGE = '{{ $x := "x" }}{{ range until 40 }}{{ $x = printf "%s%s" $x $x }}{{ end }}a: {{ $x }}'


@pytest.mark.parametrize(
    ("text", "words"),
    [(LOOP, "took longer than"), (HUGE, "MiB of memory")],
    ids=["time", "memory"],
)
async def test_a_chart_takes_no_more_than_it_may(
    workplace: Workplace, text: str, words: str
) -> None:
    workplace.cpu = 3
    await workplace.restart()
    with pytest.raises(Invalid, match=words) as caught:
        await of_chart(workplace, **{"templates/bad.yaml": text})
    assert caught.value.reason == "TemplateInvalid"


async def test_helm_reaches_neither_network_nor_the_operators_files(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the operator")
    text = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: spy}\ndata:\n"
        '  file: {{ .Files.Get "../../../etc/hostname" | quote }}\n'
        '  name: {{ getHostByName "localhost" | quote }}\n'
    )
    # A schema of others is not fetched, and says nothing.
    schema = {**SCHEMA, "allOf": [{"$ref": f"{workplace.server.url}/schema.json"}]}
    files = {"templates/spy.yaml": text, "values.schema.json": json.dumps(schema)}
    found = await of_chart(workplace, **files)
    spied: Manifest = found["ConfigMap", "spy"]
    assert spied["data"] == {"file": "", "name": ""}
    assert not [path for path in workplace.server.asked if "schema" in path]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed({"demo/big": b"\0" * 2**23}), "holds demo/big, larger than 5 MiB"),
        (
            packed({f"demo/{n}": b"\0" * (4 * 2**20) for n in range(16)}),
            "unpacks to more than 48 MiB",
        ),
        (packed({f"demo/{n}": b"" for n in range(6000)}), "holds more than 5000 files"),
        (b"no archive", "is not packed by tar and gzip"),
        (packed({"demo/README.md": "x"}), "is no chart: it has no Chart.yaml"),
    ],
    ids=["file", "bomb", "many", "garbage", "empty"],
)
async def test_what_is_no_chart_or_a_bomb_is_refused(
    workplace: Workplace, content: bytes, words: str
) -> None:
    workplace.server.add(content)
    with pytest.raises(Invalid, match=words) as caught:
        await workplace.bundle(workplace.chart())
    assert caught.value.reason == "SourceInvalid"


async def test_an_operator_without_helm_says_so(workplace: Workplace) -> None:
    workplace.server.add(chart())
    workplace.helm = "/nowhere/helm"
    await workplace.restart()
    with pytest.raises(Invalid, match="set KOK_HELM") as caught:
        await workplace.bundle(workplace.chart())
    assert caught.value.reason == "HelmMissing"
