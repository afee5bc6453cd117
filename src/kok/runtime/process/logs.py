"""Logs: one JSON object a line, from us and from the libraries alike, without secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog

from kok.api.printable import plain_lines
from kok.runtime.redact import redact
from kok.runtime.settings import Settings

_QUIET = ("kopf", "aiohttp", "asyncssh", "asyncio")
"""Libraries that at their debug level write whole objects, Secrets included."""


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Sends structlog's and the standard library's messages to `stream` (standard error)."""
    level = logging.getLevelName(settings.log_level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _clean,
    ]
    render: Any = (
        structlog.processors.JSONRenderer(default=str)
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render, _seen],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


@contextmanager
def hushed(name: str) -> Iterator[None]:
    """Silences a library that is to end: kopf complains of all that it then cuts off itself.

    Even as errors, where it is still about to look for kinds; what matters, it raises.
    """
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _seen(_logger: Any, _method: str, line: Any) -> str:
    """What strangers are quoted with rules no terminal on which somebody reads the log as text."""
    return plain_lines(line)


def _clean(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drops what is None and masks what looks secret."""
    kept = {key: value for key, value in event.items() if value is not None}
    inner = {key: kept.pop(key) for key in ("_record", "_from_structlog") if key in kept}
    return {**redact(kept), **inner}
