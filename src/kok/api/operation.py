"""What takes more than one pass, as a status holds it."""

from __future__ import annotations

from datetime import datetime

from kok.api.meta import ApiModel


class Operation(ApiModel):
    """An operation that is under way; recorded before anything of it is done."""

    type: str
    """What is done, as one word."""
    step: str = ""
    """How far it has come, as one word."""
    since: datetime
    """When it began."""
    reason: str = ""
    """Why it is done, as a sentence."""
