"""Renders the chart with Helm, which the lab builds once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.apiserver import find_binary

CHART = Path(__file__).parents[4] / "charts" / "kok"
HELM_VERSION = "v4.3.1"

Manifest = dict[str, Any]


class Rendered(list[Manifest]):
    """The objects of a rendered chart."""

    def of(self, kind: str) -> dict[str, Manifest]:
        """Objects of a kind by name."""
        return {m["metadata"]["name"]: m for m in self if m["kind"] == kind}


Render = Callable[..., Rendered]


class Refused(Exception):
    """Helm's answer to values that it does not take."""


@pytest.fixture(scope="session")
def render() -> Render:
    """`render(**values)` is the chart as release `kok` in namespace `kok-system`; else `Refused`."""
    helm = find_binary("helm", HELM_VERSION, "KOK_TEST_HELM")

    def rendered(_release: str = "kok", **values: Any) -> Rendered:
        done = subprocess.run(
            [helm, "template", _release, str(CHART), "--namespace=kok-system", "--values=-"],
            input=json.dumps(values),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Refused(done.stderr)
        return Rendered(m for m in yaml.safe_load_all(done.stdout) if m)

    return rendered
