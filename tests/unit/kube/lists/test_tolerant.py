"""Lists of others' objects: what cannot be read is told apart."""

from __future__ import annotations

from typing import Any

from structlog.testing import capture_logs

from kok.api.machine.host import Host
from kok.kube.lists.tolerant import listed, readable


def manifest(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "team-a", "uid": f"uid-{name}"},
        "spec": {"address": "192.0.2.9", "ssh": {"secret": "ops"}, **spec},
        "status": {"machine": ["secret"]} if name == "odd" else {},
    }


def test_one_that_cannot_be_read_leaves_the_others_as_they_are() -> None:
    all_of_them = [manifest("a"), manifest("odd", port="twenty-two"), manifest("b")]
    with capture_logs() as logs:
        found = listed(Host, all_of_them)
        assert [h.name for h in readable(Host, all_of_them)] == ["a", "b"]
    assert [h.name for h in found.objects] == ["a", "b"]
    (odd,) = found.odd
    assert odd.message.startswith("Host team-a/odd cannot be read: spec.port: Input should be")
    # Once for both, and with nothing of what stands there.
    (line,) = logs
    assert (line["namespace"], line["name"]) == ("team-a", "odd")
    assert "twenty-two" not in str(line)
    assert "twenty-two" not in odd.message


def test_what_stands_there_can_still_be_asked_text_by_text() -> None:
    (odd,) = listed(Host, [manifest("odd", port="x", addresses=["192.0.2.8", 7])]).odd
    assert odd.text("spec", "address") == "192.0.2.9"
    assert odd.texts("spec", "addresses") == ["192.0.2.8"]
    assert odd.number("spec", "port") is None
    assert odd.text("status", "machine") == odd.text("spec", "ssh", "user") == ""
    assert odd.may_say("192.0.2.9", "spec", "address")
    assert not odd.may_say("192.0.2.7", "spec", "address")
    # Where nothing can be understood anything may be meant.
    assert odd.may_say("shop", "spec", "cluster")
