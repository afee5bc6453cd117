"""Prometheus metrics of the runtime; operators add gauges of their own to the same registry."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from kok.kube.errors import KubeError

# One more series for each counter, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

OTHER: Final = "Other"
WORDS: Final = 300
"""Different words that one label may have; each is kept for ever."""
_words: dict[str, set[str]] = {}


def bounded_label(label: str, word: str) -> str:
    """A word as the value of a label, or `Other` once there are too many.

    A series is never forgotten. Whatever a word comes from, it may make no more than so many.
    """
    known = _words.setdefault(label, set())
    if word not in known and len(known) >= WORDS:
        return OTHER
    known.add(word)
    return word


def reason_of(error: Exception, reason: str) -> str:
    """The reason of an error as the value of a label.

    Of an API's refusal that is its class: a business cluster's may give any reason it likes.
    """
    return type(error).__name__ if isinstance(error, KubeError) else bounded_label("reason", reason)


PASSES = Counter("kok_passes", "Passes by how they ended.", ["operator", "kind", "end"])
PASS_SECONDS = Histogram(
    "kok_pass_seconds",
    "Duration of one pass.",
    ["operator", "kind"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
)
PASS_ERRORS = Counter(
    "kok_pass_errors", "Passes that ended in an error.", ["operator", "kind", "reason"]
)
STATUS_WRITES = Counter("kok_status_writes", "Writes of a status.", ["operator", "kind"])
EVENTS_LOST = Counter("kok_events_lost", "Events that could not be written.", ["operator"])
OBJECTS = Gauge("kok_objects", "Objects under care.", ["operator", "kind"])
PENDING_SECONDS = Gauge(
    "kok_pending_seconds", "Age of the oldest trigger that no pass took up.", ["operator"]
)
LOOP_LAG_SECONDS = Gauge("kok_loop_lag_seconds", "How late the event loop runs its timers.")
LEADER = Gauge("kok_leader", "Whether this process leads.", ["operator"])
REQUESTS = Counter(
    "kok_kube_requests",
    "Requests to the meta cluster's API; code 0 means no answer.",
    ["operator", "verb", "code"],
)
