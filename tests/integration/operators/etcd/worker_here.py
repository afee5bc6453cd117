"""Runs `kok` with a worker's mounts below KOK_TEST_ROOT instead of at the root of a container."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from kok.operators.etcd.worker import report, spec


def move() -> None:
    """Changes the paths before anything of the worker has read them."""
    root = os.environ["KOK_TEST_ROOT"]
    for name, value in list(vars(spec).items()):
        if isinstance(value, PurePosixPath):
            setattr(spec, name, PurePosixPath(f"{root}{value}"))
    report.TERMINATION_MESSAGE = f"{root}{report.TERMINATION_MESSAGE}"


if __name__ == "__main__":
    move()
    from kok.cli.main import app

    app()
