"""The table of operating systems, and that scripts look for what it says."""

from __future__ import annotations

from pathlib import Path

from kok.operators.machine.remote.survey import script
from kok.operators.machine.systems import table

PAGE = Path(__file__).parents[5] / "docs" / "hosts.md"


def test_the_page_about_hosts_has_the_same_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [f"| {s.system} | {s.family} | {s.where} |" for s in table.shown()]
    assert "|---|---|---|\n" + "\n".join(rows) + "\n\n" in text
    assert all(table.family(s.family).name == s.family for s in table.shown())


def test_every_program_and_module_that_is_needed_is_looked_for() -> None:
    told = table.looked_for()
    programs = told["KOK_PROGRAMS"].split()
    assert table.required(node=True) | set(table.downloaders()) <= set(programs)
    assert table.modules() == set(told["KOK_MODULES"].split())
    text = script((), ())
    assert all(f"{name}=" in text for name in told)


def test_a_host_that_is_no_node_needs_less() -> None:
    assert table.required(node=False) < table.required(node=True)
    assert "iptables" not in table.required(node=False)
