"""Golden files: what is rendered may change only on purpose.

`KOK_UPDATE_GOLDEN=1 pytest tests/unit/operators/machine` writes them anew; look at the difference
before committing it. Another Machine spec means work on every host when the operator is upgraded.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def check(name: str, text: str) -> None:
    """Compares with `golden/<name>`, or writes it."""
    path = FOLDER / name
    if os.environ.get("KOK_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{name} differs; see golden.py"
