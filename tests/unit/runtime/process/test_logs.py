"""Logs: one JSON object a line, with what belongs to it and without secrets."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from kok.runtime import redact as logs_redact
from kok.runtime.process import logs
from kok.runtime.redact import redact, redact_text
from kok.runtime.settings import Settings

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIABCDEF\n-----END EC PRIVATE KEY-----\n"
SECRETS: dict[str, tuple[str, str]] = {
    "private key": (f"got {KEY} from x", "MHcCAQEEI"),
    "cut off key": ("-----BEGIN PRIVATE KEY-----\nMHcCAQEEI", "MHcCAQEEI"),
    "bearer token": ("Authorization: Bearer abcdefgh12345678", "abcdefgh"),
    "basic login": ('{"Authorization": "Basic cm9vdDpodW50ZXIy"}', "cm9vdDpod"),
    "token alone": ("sent Bearer abcdefghij0123456789xyz", "abcdefghij"),
    "web token": ("eyJhbGciOiJSUzI1.eyJpc3MiOiJrdWJl.c2lnbmF0dXJl", "eyJpc3Mi"),
    "web token in a name": ("a.b-eyJhbGciOiJSUzI1.eyJpc3MiOiJrdWJl.c2lnbmF0dXJl-x.y", "eyJpc3Mi"),
    "bootstrap token": ("kubeadm join --token abcdef.0123456789abcdef", "0123456789abcdef"),
    "password": ("login failed: password=hunter2, user=root", "hunter2"),
    "password in JSON": ('{"password": "hunter2"}', "hunter2"),
    "password in a URL": ("http://user:hunter2@proxy.example/", "hunter2"),
    "base64 PEM": (
        "client-key: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQpNSUlFb3dJQkFBS0NBUUVB",
        "TUlJ",
    ),
}


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=SECRETS)
def test_secrets_in_text_are_masked(text: str, secret: str) -> None:
    masked = redact_text(text)
    assert secret not in masked
    assert "***" in masked


@pytest.mark.parametrize(
    "text",
    [
        "Secret kok-system/etcd-ca is missing",
        "image registry.example/web:v1.2.3@sha256:0123456789abcdef0123456789abcdef",
        "https://10.0.0.1:6443/api/v1/namespaces/x/secrets",
        "the token of Machine m expires in 15m",
        "basic information about bearer authentication",
    ],
)
def test_what_people_need_to_read_stays(text: str) -> None:
    assert redact_text(text) == text


def test_secrets_in_fields_are_masked_at_any_depth() -> None:
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"tls.crt": "QQ=="}}
    shown = redact(
        {
            "object": secret,
            "ssh": [{"password": "hunter2", "user": "root"}],
            "client-key-data": "abc",
            "raw": b"bytes",
            "token_given": True,
        }
    )
    assert shown["object"] == {"kind": "Secret", "metadata": {"name": "s"}, "data": "***"}
    assert shown["ssh"] == [{"password": "***", "user": "root"}]
    assert shown["client-key-data"] == "***"
    assert shown["raw"] == "<5 bytes>"
    assert shown["token_given"] is True


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSON)
def test_anything_can_be_logged(value: Any) -> None:
    json.dumps(redact({"value": value}))


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged; everything is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure(Settings(log_level="debug"), stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """The lines, parsed."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_tells_time_level_object_and_pass(written: io.StringIO) -> None:
    log = structlog.stdlib.get_logger("kok").bind(kind="Cluster", name="c", reconcile="1a2b")
    log.info("applied", change="created", nothing=None)
    (line,) = lines(written)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "applied",
        "level": "info",
        "kind": "Cluster",
        "name": "c",
        "reconcile": "1a2b",
        "change": "created",
    }


def test_libraries_log_the_same_way(written: io.StringIO) -> None:
    logging.getLogger("some.library").warning("password=%s", "hunter2")
    (line,) = lines(written)
    assert (line["level"], line["logger"], line["event"]) == (
        "warning",
        "some.library",
        "password=***",
    )


def test_a_traceback_is_one_field_and_has_no_secrets(written: io.StringIO) -> None:
    log = structlog.stdlib.get_logger("kok")
    try:
        raise ValueError(f"bad key {KEY}")
    except ValueError:
        log.exception("failed")
    (line,) = lines(written)
    assert "ValueError" in line["exception"]
    assert "MHcCAQEEI" not in written.getvalue()


def test_kopf_does_not_log_whole_objects_even_at_debug(written: io.StringIO) -> None:
    logging.getLogger("kopf.objects").debug("Creation is in progress: %r", {"data": "secret"})
    logging.getLogger("kopf.objects").warning("a warning")
    assert [line["event"] for line in lines(written)] == ["a warning"]


def test_a_library_that_is_to_end_says_nothing_and_then_speaks_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inner = logging.getLogger("library.inner")
    with logs.hushed("library"):
        inner.error("Connector is closed")
    inner.error("later")
    assert [record.message for record in caplog.records] == ["later"]


@pytest.mark.parametrize("begin", range(logs_redact.MOST - 700, logs_redact.MOST + 10, 37))
@pytest.mark.parametrize("text", [t for t, _ in SECRETS.values()], ids=list(SECRETS))
def test_a_secret_where_a_long_text_is_cut_is_not_shown_in_part(text: str, begin: int) -> None:
    secret = next(s for t, s in SECRETS.values() if t == text)
    shown = redact_text("x" * begin + " " + text + " " + "y" * logs_redact.MOST)
    assert secret[:5] not in shown


def test_long_values_are_cut_and_say_so() -> None:
    deep: Any = {str(n): ["word " * 1000] * 1000 for n in range(1000)}
    shown = redact({"one": "word " * 10**6, "many": deep, "number": 1 << 40000, "event": "here"})
    assert "more characters" in shown["one"]
    assert len(json.dumps(shown)) < 4 * logs_redact.ROOM
    assert shown["many"]["..."] == f"{1000 - len(shown['many']) + 1} more"
    assert shown["number"] == "<40001 bits>"
    assert shown["event"] == "here"


@pytest.mark.parametrize("pump", ["a", "a:", "eyJaaaaaaaa-", "-----BEGIN ", "token=", "://a:"])
def test_what_it_costs_to_log_a_text_does_not_grow_beyond_the_cut(pump: str) -> None:
    """A text of ten millions costs little more than one of ten thousands."""
    long = pump * (10**7 // len(pump))
    began = time.process_time()
    redact_text(long)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("pump", ["eyJ-", "a-eyJ.", "eyJaaaaaaaa-", "-", "a.", "://a:", "abcdef."])
def test_no_text_takes_much_longer_to_redact_than_any_other(pump: str) -> None:
    """What somebody writes is quoted for many containers of many pods."""

    def seconds(text: str) -> float:
        def once() -> float:
            began = time.process_time()
            redact_text(text)
            return time.process_time() - began

        return min(once() for _ in range(20))

    size = logs_redact.MOST - 100
    assert seconds((pump * size)[:size]) < 5 * seconds(("some words of a log " * size)[:size])


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_is_quoted_rules_no_terminal(
    written: io.StringIO, form: Literal["json", "text"]
) -> None:
    logs.configure(Settings(log_format=form), written)
    structlog.stdlib.get_logger("test").warning("it said", error="\x1b[2J\x9b\u202e")
    logging.getLogger("library").warning("\x1b[2J\x9b\u202e")
    text = written.getvalue()
    assert text.count("[2J") == 2
    assert not [one for one in text if not one.isprintable() and one != "\n"]
