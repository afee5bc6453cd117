"""Types of the conditions of a Machine."""

from __future__ import annotations

REACHABLE, PREFLIGHT, COMPONENTS = "Reachable", "PreflightPassed", "ComponentsReady"
JOINED, NODE_READY, UP_TO_DATE, READY = "Joined", "NodeReady", "UpToDate", "Ready"
MARKED = "NodeMarked"
"""Whether the Node has the labels and taints of the spec. Absent unless they are refused."""
CERTIFIED = "CertificatesApproved"
"""Whether what the kubelet last asked for was granted. Absent until it asks."""
HEALTHY = "Healthy"
"""Whether what runs on the host works. Absent until something has failed, and again a while after."""
DRIFTED = "Drifted"
"""Whether something on the host is not as it was made. Absent until something was."""
CHAIN = (REACHABLE, PREFLIGHT, COMPONENTS, JOINED, NODE_READY)
"""In this order one thing leads to the next."""
