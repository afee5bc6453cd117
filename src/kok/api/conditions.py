"""Types of conditions that more than one operator knows; all others are their operator's own."""

from __future__ import annotations

from typing import Final

READY: Final = "Ready"
"""Of every kind: the sum of its other conditions."""
AVAILABLE: Final = "Available"
"""Of an EtcdCluster: clients can read and write."""
KEYS_RESTORED: Final = "KeysRestored"
"""Of an EtcdCluster: the keys that came with a backup are in the Secret that they belong to."""
