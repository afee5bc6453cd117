"""What the lab says when it cannot go on."""

from __future__ import annotations

from pathlib import Path


class LabError(Exception):
    """A failure whose text tells a person what hangs, what to do, and where to read more."""


class CommandError(LabError):
    """A command that ended badly. ``stderr`` holds what it said last, ``log`` where all of it is."""

    def __init__(self, argv: list[str], code: int, stderr: str, log: Path | None = None) -> None:
        self.argv = argv
        self.code = code
        self.stderr = stderr
        self.log = log
        said = "\n".join(stderr.strip().splitlines()[-12:])
        where = f"\nthe whole output: {log}" if log else ""
        super().__init__(f"`{' '.join(argv)[:300]}` ended with {code}\n{said}{where}")
