"""What an operator does to an object in more than one pass, as the object's status records it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from kok.api.meta import ApiModel


class Operation(ApiModel):
    """What is under way; recorded before it is done, and absent at rest."""

    type: str = Field(max_length=63)
    """What is done, as one word."""
    step: str = Field(default="", max_length=63)
    """What is done or waited for now, as one word."""
    since: datetime
    """When it began."""
    reason: str = Field(default="", max_length=1024)
    """Why it is done, as a sentence."""
