"""The difference of two objects, as `kubectl diff` shows it."""

from __future__ import annotations

from typing import Any

from kok.cli.addons.difference import difference


def config(**parts: Any) -> dict[str, Any]:
    meta = {"name": "x", "namespace": "ns", "uid": "1", "generation": 1, "resourceVersion": "7"}
    meta |= {"managedFields": [{"manager": "kok-cluster"}], "creationTimestamp": "2026-01-01"}
    meta |= parts.pop("metadata", {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, **parts}


def test_what_changed_stands_between_what_did_not() -> None:
    found = difference(config(data={"a": "1", "b": "2"}), config(data={"a": "1", "b": "3"}))
    assert found[:3] == [
        "diff -u -N LIVE/v1.ConfigMap.ns.x MERGED/v1.ConfigMap.ns.x",
        "--- LIVE/v1.ConfigMap.ns.x",
        "+++ MERGED/v1.ConfigMap.ns.x",
    ]
    assert [line for line in found[3:] if line[0] in "+-"] == ["-  b: '2'", "+  b: '3'"]


def test_what_only_a_server_writes_is_no_difference() -> None:
    later = {"generation": 2, "resourceVersion": "9", "uid": "2"}
    marked = {"annotations": {"kok.dev/intent": "abc"}, **later}
    assert difference(config(), config(metadata=marked, status={"ready": 1})) == []
    kept = config(metadata={"annotations": {"kok.dev/intent": "a", "mine": "1"}})
    assert any(
        "mine: '2'" in one
        for one in difference(
            kept, config(metadata={"annotations": {"kok.dev/intent": "b", "mine": "2"}})
        )
    )


def test_what_comes_and_what_goes_is_there_as_a_whole() -> None:
    came, went = difference(None, config(data={"a": "1"})), difference(config(), None)
    assert "+  a: '1'" in came
    assert all(line[0] in "+@" for line in came[3:])
    assert all(line[0] in "-@" for line in went[3:])
    assert difference(None, None) == []


def test_texts_of_several_lines_are_told_line_by_line() -> None:
    before, after = config(data={"f": "one\ntwo\n"}), config(data={"f": "one\nthree\n"})
    changed = [line for line in difference(before, after)[3:] if line[0] in "+-"]
    assert changed == ["-    two", "+    three"]


def test_of_secrets_nothing_is_told_but_which_entries_change() -> None:
    def secret(**data: str) -> dict[str, Any]:
        return {**config(data=data), "kind": "Secret"}

    found = difference(secret(same="c2FtZQ==", old="b2xk"), secret(same="c2FtZQ==", old="bmV3"))
    text = "\n".join(found)
    assert "-  old: '*** (before)'" in text
    assert "+  old: '*** (after)'" in text
    for value in ("c2FtZQ==", "b2xk", "bmV3"):
        assert value not in text
    assert "'***'" in "\n".join(difference(None, secret(x="eA==")))
    assert "eA==" not in "\n".join(difference(None, secret(x="eA==")))


def test_nobody_rules_the_terminal_of_who_reads_it() -> None:
    found = difference(None, config(data={"a": "\x1b[2J\u202e"}))
    assert not any("\x1b" in line or "\u202e" in line for line in found)
