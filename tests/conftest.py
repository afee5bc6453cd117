"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadline for an example, nor for making some: either would fail tests on a machine that has
# other work to do. Found counterexamples are searched for at every run, but in CI always among the
# same examples.
settings.register_profile(
    "kok",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("kok")
