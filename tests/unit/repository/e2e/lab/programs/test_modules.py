"""Modules that are built with other texts of some files."""

from __future__ import annotations

from pathlib import Path

from e2e.lab.programs.binaries import copy_module
from e2e.lab.programs.sources import SOURCES


def test_a_copy_can_be_changed_and_the_module_stays_as_it_is(tmp_path: Path) -> None:
    module, copy = tmp_path / "module", tmp_path / "work" / "copy"
    file = module / "pkg" / "some.go"
    file.parent.mkdir(parents=True)
    file.write_text("package pkg\n")
    # As Go leaves what it fetched.
    file.chmod(0o444)
    file.parent.chmod(0o555)

    copy_module(module, copy)
    (copy / "pkg" / "some.go").write_text("package other\n")
    (copy / "pkg" / "more.go").touch()

    assert file.read_text() == "package pkg\n"
    file.parent.chmod(0o755)


def test_what_is_laid_into_a_module_names_the_module_and_a_file_of_go() -> None:
    laid = [file for source in SOURCES for file in source.laid]
    assert laid
    for file in laid:
        module, _, path = file.partition("//")
        assert "/" in module
        assert path.endswith(".go")
