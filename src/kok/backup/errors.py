"""What ends a command early."""

from __future__ import annotations

from kok.backup.reasons import Reason


class WorkerError(Exception):
    """Nothing comes of the command: a reason for machines and a sentence for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
