"""The base of the worker's models.

As `kok.api.meta.ApiModel`, whose package brings all kinds of KOK along: 4 MiB and a second of CPU.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """camelCase outside, snake_case inside; what is not known is ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    def manifest(self) -> dict[str, Any]:
        """The JSON form: camelCase keys, absent instead of null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
