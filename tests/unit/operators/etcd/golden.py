"""Golden files: what the operator makes of an EtcdCluster, kept beside the tests.

    KOK_UPDATE_GOLDEN=1 pytest tests/unit/operators/etcd

writes them anew. Look at the difference before committing it: a changed pod template of a member
means that every etcd in the world wants to be restarted by an upgrade of the operator.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "golden"


def check(name: str, documents: list[dict[str, Any]]) -> None:
    """Compares with `golden/<name>.yaml`, or writes it."""
    path = FOLDER / f"{name}.yaml"
    text = yaml.safe_dump_all(documents, sort_keys=True, width=100, explicit_start=True)
    if os.environ.get("KOK_UPDATE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{path.name} differs; see golden.py"
