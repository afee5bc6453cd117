"""Scenarios are found by the names that people type."""

from __future__ import annotations

import fnmatch
import importlib

import pytest
from e2e import run

NAMES = {
    *("first-cluster", "shapes", "faults", "hostile", "disaster", "addons", "konnectivity"),
    "addons-faults",
    *("reports", "reports-control", "reports-hosts", "reports-pods"),
    *("etcd-backup", "etcd-ca", "etcd-corrupt", "etcd-lost", "etcd-members", "etcd-migrate"),
    *("etcd-node", "etcd-quorum", "etcd-rescue", "etcd-restore", "etcd-retained", "etcd-scale"),
    *("etcd-skew", "etcd-space", "etcd-upgrade"),
    *("fleet", "upgrade-chain", "upgrade-faults", "upgrade-minor", "upgrade-patch"),
}


def test_a_scenario_is_called_like_its_file_wherever_it_lies() -> None:
    found = run.modules()
    assert set(found) >= NAMES
    assert list(found) == sorted(found)
    assert found["etcd-members"] == "e2e.scenarios.etcd.etcd_members"


def test_every_scenario_can_be_run_and_says_what_it_is() -> None:
    for name, path in run.modules().items():
        module = importlib.import_module(path)
        assert callable(module.run), name
        assert (module.__doc__ or "").strip(), name


def test_a_pattern_chooses_by_name() -> None:
    assert len(fnmatch.filter(run.modules(), "etcd-*")) >= 15


def test_of_an_unknown_scenario_those_that_are_known_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run.main(["etcd-nothing"]) == 2
    assert "etcd-members" in capsys.readouterr().err
