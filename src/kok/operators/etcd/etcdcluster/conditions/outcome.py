"""What acting finds out in a pass, for the conditions at its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from kok.runtime.conditions import Verdict


@dataclass(slots=True)
class Outcome:
    """Filled in while a pass acts."""

    verdicts: dict[str, Verdict | None] = field(default_factory=dict)
    """By the type of the condition; they count before what was judged, None takes one away."""
    refused: Verdict | None = None
    """What `Ready` says where etcd refused the action's call, while it tells of that action."""
