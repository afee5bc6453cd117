"""What on a host is not as it was made, and what the status remembers of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW

from kok.operators.machine.component.render import Rendered, rendered
from kok.operators.machine.machine.remediation import drift
from kok.operators.machine.remote.survey import Found


def tool() -> Rendered:
    file = {"path": "/etc/tool.conf", "content": "a"}
    made = builders.component(files=[file], services=["tool"])
    return rendered(made, builders.machine(), {}, builders.survey())


def right(wanted: Rendered) -> Found:
    files = {f.path: (f.mode, f.digest) for f in wanted.files}
    return Found(wanted.version, files, wanted.config, begun=True)


def told(found: Found) -> tuple[str, ...] | None:
    survey = builders.survey(found={"tool": found})
    return drift.drifted({"tool": tool()}, survey).get("tool")


def test_what_is_as_it_was_made_has_not_drifted() -> None:
    assert told(right(tool())) is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": "0.9"}, "version 0.9 is there in place of 1.0"),
        ({"version": ""}, "version nothing is there in place of 1.0"),
        ({"files": {}}, "file /etc/tool.conf is missing"),
        (
            {"files": {"/etc/tool.conf": ("0644", "0" * 64)}},
            "file /etc/tool.conf has another content",
        ),
        ({"wrong": ("sysctl a.b is 0 in place of 1",)}, "sysctl a.b is 0 in place of 1"),
    ],
)
def test_what_deviates_is_told(changes: dict[str, object], sentence: str) -> None:
    assert told(replace(right(tool()), **changes)) == (sentence,)  # type: ignore[arg-type]


def test_another_mode_is_told() -> None:
    found = right(tool())
    digest = found.files["/etc/tool.conf"][1]
    changed = replace(found, files={"/etc/tool.conf": ("0600", digest)})
    assert told(changed) == ("file /etc/tool.conf has mode 0600 in place of 0644",)


def test_what_was_never_installed_completely_or_is_to_be_another_has_not_drifted() -> None:
    assert told(replace(right(tool()), version="", recorded="")) is None
    assert told(replace(right(tool()), files={}, recorded="of an earlier spec")) is None


def test_the_status_remembers_what_it_was_and_when() -> None:
    first = drift.remembered([], {"tool": ["it is gone"]}, NOW)
    later = NOW + timedelta(minutes=1)
    assert drift.remembered(first, {"tool": ["it is gone"]}, later) == first
    second = drift.remembered(first, {"tool": ["it is another"]}, later)
    assert [(d.what, d.since, d.repaired) for d in second] == [
        ("it is another", later, None),
        ("it is gone", NOW, later),
    ]
    last = later + timedelta(minutes=1)
    third = drift.remembered(second, {}, last)
    assert [(d.what, d.repaired) for d in third] == [("it is another", last), ("it is gone", later)]
    many = drift.remembered(third, {"tool": [f"{n:02}" for n in range(40)]}, last)
    assert len(many) == 16
