"""The operator's manual says all that there is, and its links lead somewhere."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from e2e.bench import page
from e2e.bench.figure import figure
from scripts import conditions, fields

import kok.operators.etcd.metrics
from kok.api import KINDS
from kok.api.crd import crd

MANUAL = (conditions.ROOT / "docs" / "etcd.md").read_text()
PAGES = sorted([*conditions.ROOT.glob("*.md"), *(conditions.ROOT / "docs").rglob("*.md")])


def test_the_page_of_fields_is_up_to_date() -> None:
    assert fields.TARGET.read_text() == fields.page(), "run make docs"


def test_a_field_is_found_wherever_it_lies() -> None:
    found = fields.page()
    for path in ("spec.storage.size", "spec.placement.tolerations[].key", "status.members[].id"):
        assert f"\n| `{path}` |" in found


def test_every_metric_is_described_and_none_that_is_gone() -> None:
    source = Path(kok.operators.etcd.metrics.__file__).read_text()
    there = set(re.findall(r'"(kok_etcd_\w+)"', source))
    assert set(re.findall(r"`(kok_etcd_\w+)`", MANUAL)) == there


def test_figures_take_the_place_of_those_before(tmp_path: Path) -> None:
    manual = tmp_path / "etcd.md"
    manual.write_text(MANUAL)
    for suite, seconds in (("etcd-members", 1.5), ("etcd-backup", 9.5), ("etcd-members", 2.5)):
        text = page.table([figure(suite, seconds, "s", 4)], {"etcd": "3.6.10"})
        page.write(suite, text, tmp_path / "benchmarks.md")
    page.write("join", page.table([figure("etcd-join", 1.25, "s")], {}), tmp_path / "benchmarks.md")
    figures = r"(?m)^\| (etcd-(?:members|backup|join)) \| (\S+)"
    both = [("etcd-members", "2.50"), ("etcd-backup", "9.50")]
    assert re.findall(figures, manual.read_text()) == both
    assert re.findall(figures, (tmp_path / "benchmarks.md").read_text()) == [
        *both,
        ("etcd-join", "1.25"),
    ]
    assert manual.read_text().startswith(MANUAL.partition("<!-- figures -->")[0])


def test_the_readme_shows_how_soon_hosts_recover(tmp_path: Path) -> None:
    readme, benchmarks = tmp_path / "README.md", tmp_path / "docs" / "benchmarks.md"
    before = (conditions.ROOT / "README.md").read_text()
    readme.write_text(before)
    for suite, seconds in (("machine-recovery", 1.5), ("machine-join", 9.5)):
        page.write(suite, page.table([figure(suite, seconds, "s", 5)], {}), benchmarks)
    head, _, rest = readme.read_text().partition("<!-- figures -->")
    assert re.findall(r"(?m)^\| (machine-\S+) \| (\S+)", rest) == [("machine-recovery", "1.50")]
    assert before.startswith(head)
    assert before.endswith(rest.partition("<!-- end of figures -->")[2])


def test_its_examples_are_what_the_api_takes() -> None:
    kinds = {kind.info.kind.kind: crd(kind) for kind in KINDS}
    blocks = re.findall(r"(?m)^((?:    (?:apiVersion|kind): .*\n)(?:(?:    .*)?\n)*)", MANUAL)
    examples = [yaml.safe_load(textwrap.dedent(block)) for block in blocks]
    assert len(examples) >= 3
    for example in examples:
        schema = kinds[example["kind"]]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        jsonschema.validate(example["spec"], _closed(schema["properties"]["spec"]))


def _closed(schema: Any) -> Any:
    """A schema that refuses fields which it does not have."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(inner) for name, inner in schema.items()}
    return {**closed, "additionalProperties": False} if "properties" in schema else closed


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", file.read_text()):
        path, _, anchor = target.partition("#")
        there = (file.parent / path).resolve() if path else file
        assert there.exists() or there.name == "benchmarks.md", target
        if anchor:
            assert anchor in _anchors(there.read_text()), target


def _anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
