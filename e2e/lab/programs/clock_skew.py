"""Go programs whose wall clock is wrong.

All hosts of the lab share the kernel's clock, and a static Go program cannot be given another one
from outside. It is therefore compiled with a `time.Now` that adds a constant, by `go build
-overlay`, and is else of the same source. Monotonic time, by which programs wait, stays right, as
on a machine whose clock was set wrongly.
"""

from __future__ import annotations

import json
from pathlib import Path

from e2e.lab.errors import LabError

CLOCK = Path("src/time/time.go")
"""Where the standard library reads the clock, below Go's root."""
_READ = "\tsec, nsec, mono := runtimeNow()\n"


def patched(source: str, seconds: int) -> str:
    """The text of `time.go` with a `Now` that is so many seconds ahead, behind if negative.

    Raises LabError unless the clock is read at exactly one place, which is then the right one.
    """
    if (places := source.count(_READ)) != 1:
        raise LabError(
            f"no program with a wrong clock can be built by this Go: its {CLOCK} reads the clock by "
            f"`{_READ.strip()}` at {places} places instead of one; see how its Now does it, and put "
            f"that into {Path(__file__).name}"
        )
    return source.replace(_READ, f"{_READ}\tsec += {seconds}\n")


def overlay(root: Path, work: Path, seconds: int) -> Path:
    """Write what `go build -overlay` wants into `work`; `root` is Go's own, and stays as it is."""
    usual, ours = root / CLOCK, work / CLOCK.name
    try:
        source = usual.read_text()
    except OSError as error:
        raise LabError(
            f"Go's own source is needed for a wrong clock, and not there: {error}"
        ) from None
    ours.write_text(patched(source, seconds))
    listed = work / "overlay.json"
    listed.write_text(json.dumps({"Replace": {str(usual): str(ours)}}))
    return listed
