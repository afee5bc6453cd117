"""The `kok` command as a user sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.things import (
    ROOT,
    kok,
)

from kok.backup.encryption import sealing


def test_the_version_is_printed() -> None:
    result = kok("version")
    assert result.exit_code == 0
    assert result.output.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "say which operator to run"),
        (("etcd", "--all"), "say which operator to run"),
        (("ectd",), "there is no operator 'ectd'; write one of etcd, cluster, machine"),
    ],
)
def test_an_operator_that_does_not_exist_is_refused(
    arguments: tuple[str, ...], sentence: str
) -> None:
    result = kok("operator", *arguments)
    assert result.exit_code == 1
    assert sentence in result.output


def test_without_a_cluster_a_sentence_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    result = kok("kubeconfig", "demo")
    assert result.exit_code == 1
    assert "set KUBECONFIG" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ["KOK_PASSES", "KOK_BUSINESS_TIMEOUT", "KOK_SURVEY_EVERY"])
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "many")
    result = kok("operator", "--all")
    assert result.exit_code == 1
    assert f"kok: wrong settings in the environment: {name}: " in result.output
    assert "Traceback" not in result.output


def in_a_process_of_its_own(code: str, **environment: str) -> str:
    """What Python prints for it."""
    given = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_command_starts_without_what_operators_need() -> None:
    code = "import sys, kok.cli.main; print(any(m in sys.modules for m in ('kopf', 'pydantic_settings')))"
    assert in_a_process_of_its_own(code) == "False"


def test_an_operator_loads_nothing_that_draws_on_consoles() -> None:
    # With a wrong setting it ends once all is imported that it needs.
    code = (
        "import sys, kok.cli.main as main\n"
        "try: main.app(['operator', '--all'])\n"
        "except SystemExit: print('structlog' in sys.modules, 'rich' in sys.modules)"
    )
    assert in_a_process_of_its_own(code, KOK_PASSES="many") == "True False"


def test_a_key_pair_is_one() -> None:
    text = kok("keypair").stdout
    private, public = (line.partition(": ")[2] for line in text.splitlines())
    content = {"ca": {"tls.key": b"secret"}}
    assert sealing.unseal(sealing.seal(content, public), [], private) == content
