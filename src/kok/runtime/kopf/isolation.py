"""kopf without the Kubernetes client that it would load if that is installed.

It looks for classes of that client, which no operator uses: 10 MiB for each of them. Whoever needs
the client can import it afterwards. Modules that need kopf import it from here.
"""

from __future__ import annotations

import sys

_CLIENT = "kubernetes"

if _CLIENT in sys.modules:
    import kopf
else:
    sys.modules[_CLIENT] = None  # type: ignore[assignment] # An import of it fails.
    try:
        import kopf
    finally:
        del sys.modules[_CLIENT]

# The one thing that kopf takes as a parameter and does not export: what it has found to watch.
from kopf._cogs.structs.references import Insights  # noqa: E402

__all__ = ["Insights", "kopf"]
