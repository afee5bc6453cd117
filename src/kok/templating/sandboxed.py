"""What users wrote is rendered in a process of its own, once, with limits.

A template may loop for ever or ask for all memory there is. What KOK brings along is rendered at
once, unless it is given huge values.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kok.kube.decoding.nesting import too_deep
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.sandbox.process import Limits

SMALL = 16 * 1024
"""Characters of values as JSON with which a template of KOK's own is rendered at once: a few
milliseconds. With more than that it is other people's work, too."""


def is_quick(values: Any) -> bool:
    """Whether a template of KOK's own is rendered with these values within milliseconds."""
    return not too_deep(values) and len(json.dumps(values)) <= SMALL


async def render_sandboxed(
    sandboxes: SandboxPool,
    namespace: str,
    function: Callable[[Any], Any],
    job: Any,
    digest: str,
    *,
    limits: Limits | None = None,
) -> Any:
    """What `function` makes of the job, which is fit for JSON. The same digest is the same work.

    `limits` are the sandboxes' own if absent. Raises `TooMuch` for what takes more than it may, `Unfinished` for what another try may bring.
    """
    return await sandboxes.run(namespace, function, job, digest=digest, limits=limits)
