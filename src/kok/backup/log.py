"""Lines of JSON on standard output, in the form of the operators' logs.

Not by `kok.runtime.process.logs`: what that imports takes 13 MiB, and the worker is to stay below 100.
"""

from __future__ import annotations

import json
import sys
import traceback
from datetime import UTC, datetime

from kok.runtime.redact import redact


def info(event: str, **fields: object) -> None:
    """What goes on."""
    _line(event, "info", fields)


def warning(event: str, **fields: object) -> None:
    """What is not as it should be, and does not end the command."""
    _line(event, "warning", fields)


def error(event: str, cause: BaseException | None = None, **fields: object) -> None:
    """What ends the command; with the traceback of `cause`."""
    if cause is not None:
        fields["exception"] = "".join(traceback.format_exception(cause))
    _line(event, "error", fields)


def _line(event: str, level: str, fields: dict[str, object]) -> None:
    kept = {key: value for key, value in fields.items() if value is not None}
    stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    line = redact({**kept, "event": event, "level": level, "timestamp": stamp})
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
