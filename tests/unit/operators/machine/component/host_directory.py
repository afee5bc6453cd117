"""A host made of a directory: scripts run there for real, by nothing but the programs that it is given."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PLACES = "etc|lib|opt|proc|run|sys|usr|var"


def confined(script: str, root: Path) -> str:
    """The script, with a directory in the place of `/`."""
    return re.sub(rf"(?<![\w./~}}*-])/(?=(?:{_PLACES})/)", f"{root}/", script)


@dataclass
class HostDirectory:
    """A host whose files lie in a directory and whose programs do as little as they can."""

    root: Path

    def program(self, name: str, text: str = "") -> None:
        """A shell script in the place of a program."""
        file = self.root / "programs" / name
        file.parent.mkdir(exist_ok=True)
        # It may be a link to the real one, which must not be written to.
        file.unlink(missing_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def programs(self, names: Iterable[str]) -> None:
        """The real ones, as far as this machine has them."""
        (self.root / "programs").mkdir(exist_ok=True)
        for name in names:
            if found := shutil.which(name):
                (self.root / "programs" / name).symlink_to(found)

    def file(self, path: str, text: str = "x\n") -> Path:
        """A file of it, made with its directories."""
        file = self.root / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def run(self, script: str, **env: str) -> subprocess.CompletedProcess[str]:
        """What came of a script, as it is run on a host."""
        return subprocess.run(
            ["sh", "-eu"],
            input=confined(script, self.root),
            env={"PATH": str(self.root / "programs"), **env},
            text=True,
            capture_output=True,
            check=False,
        )

    def said(self, name: str) -> list[str]:
        """The lines of a file, such as programs note in it."""
        file = self.root / name
        return file.read_text().splitlines() if file.exists() else []
