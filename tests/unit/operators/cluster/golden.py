"""Golden files: what is rendered may change only on purpose.

`KOK_UPDATE_GOLDEN=1 pytest tests/unit/operators/cluster` writes them anew; look at the difference
before committing it. A changed pod template rolls every control plane when the operator is
upgraded.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from kok.api.meta import Manifest

FOLDER = Path(__file__).parent / "golden"


def check(name: str, manifests: list[Manifest]) -> None:
    """Compares with `golden/<name>.yaml`, or writes it."""
    text = yaml.safe_dump_all(manifests, sort_keys=False, width=100, allow_unicode=True)
    path = FOLDER / f"{name}.yaml"
    if os.environ.get("KOK_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{path.name} differs; see golden.py"
