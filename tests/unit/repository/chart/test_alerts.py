"""Every alert fires in its case and not otherwise, by promtool on the rules as the chart renders them.

The cases lie in `alerts/`, in the form of `promtool test rules`. An alert that is expected has the
texts of its rule: they are filled in here, with the expected labels and `value` (the rule's value
as the text prints it) in place of the templates.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.apiserver import find_binary
from tests.unit.repository.chart.conftest import CHART, Render

CASES = sorted((Path(__file__).parent / "alerts").glob("*.yaml"))
DOCS = CHART.parents[1] / "docs"
_TEMPLATE = re.compile(r"\{\{ \$(?:labels\.(\w+)|(value)(?: \| \w+)?) \}\}")

Case = dict[str, Any]


@pytest.fixture(scope="session")
def promtool() -> str:
    """Debian's, taken out of its package by the lab."""
    return find_binary("promtool", "debian", "KOK_TEST_PROMTOOL")


@pytest.fixture(scope="session")
def groups(render: Render) -> list[Case]:
    """The groups of rules in the chart's PrometheusRule."""
    made = render(metrics={"prometheusRule": {"enabled": True}}).of("PrometheusRule")
    groups: list[Case] = made["kok-metrics"]["spec"]["groups"]
    return groups


@pytest.fixture(scope="session")
def rules(groups: list[Case]) -> dict[str, Case]:
    """The rules by the names of their alerts."""
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_promtool_finds_the_rules_in_order(
    promtool: str, groups: list[Case], tmp_path: Path
) -> None:
    _run(promtool, "check", "rules", "--lint-fatal", str(_written(tmp_path, groups)))


@pytest.mark.parametrize("cases", CASES, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_only_then(
    promtool: str, groups: list[Case], rules: dict[str, Case], cases: Path, tmp_path: Path
) -> None:
    suite = yaml.safe_load(cases.read_text())
    for test in _tests(suite):
        for alert in test.get("exp_alerts", ()):
            value = alert.pop("value", "")
            texts = rules[test["alertname"]]["annotations"]
            alert["exp_annotations"] = {
                name: _filled(text, alert["exp_labels"], value) for name, text in texts.items()
            }
    suite["rule_files"] = [_written(tmp_path, groups).name]
    file = tmp_path / cases.name
    file.write_text(yaml.safe_dump(suite))
    _run(promtool, "test", "rules", str(file))


def test_every_alert_has_a_case_where_it_fires_and_one_where_it_does_not(
    rules: dict[str, Case],
) -> None:
    tests = [test for file in CASES for test in _tests(yaml.safe_load(file.read_text()))]
    for fires in (True, False):
        shown = {test["alertname"] for test in tests if bool(test.get("exp_alerts")) == fires}
        assert shown == set(rules), f"cases where alerts fire: {fires}"


def test_every_alert_has_a_runbook(rules: dict[str, Case]) -> None:
    for name, rule in rules.items():
        file, anchor = rule["annotations"]["runbook_url"].removeprefix("docs/").split("#")
        assert anchor == name.lower()
        assert f"\n### {name}\n" in (DOCS / file).read_text()


def test_there_is_no_runbook_of_an_alert_that_is_gone(rules: dict[str, Case]) -> None:
    described = [
        heading
        for file in DOCS.glob("*.md")
        for heading in re.findall(r"(?m)^### (Kok\w+)$", file.read_text())
    ]
    assert sorted(described) == sorted(rules)


def test_runbooks_are_where_the_user_keeps_them(render: Render) -> None:
    on = {"enabled": True, "runbooks": "https://git.example/kok/docs/"}
    made = render(metrics={"prometheusRule": on}).of("PrometheusRule")["kok-metrics"]["spec"]
    links = [r["annotations"]["runbook_url"] for g in made["groups"] for r in g["rules"]]
    assert [link for link in links if not link.startswith(on["runbooks"])] == []


def _tests(suite: Case) -> list[Case]:
    return [test for group in suite["tests"] for test in group.get("alert_rule_test", ())]


def _filled(text: str, labels: dict[str, str], value: str) -> str:
    return _TEMPLATE.sub(lambda m: value if m[2] else labels.get(m[1], ""), text)


def _written(folder: Path, groups: list[Case]) -> Path:
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": groups}))
    return file


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
