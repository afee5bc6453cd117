"""Every example is taken by the API server as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.crds import asking

from kok.api import GROUP
from kok.kube.client import Kube

pytestmark = pytest.mark.usefixtures("kok_crds")

FOLDER = Path(__file__).parents[2] / "examples"
FILES = sorted(FOLDER.glob("*.yaml"))


def objects(file: Path) -> list[dict[str, Any]]:
    """The objects of ours in a file."""
    found = [m for m in yaml.safe_load_all(file.read_text()) if m]
    return [m for m in found if m["apiVersion"].startswith(f"{GROUP}/")]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
async def test_an_example_is_accepted(kube: Kube, namespace: str, file: Path) -> None:
    for manifest in objects(file):
        manifest["metadata"]["namespace"] = namespace
        assert await asking.refusals(kube, namespace, manifest) == []


def test_a_first_cluster_with_a_node_takes_fewer_than_40_lines() -> None:
    file = FOLDER / "first-cluster.yaml"
    assert [m["kind"] for m in objects(file)] == ["Cluster", "KubeNode"]
    assert len(file.read_text().splitlines()) < 40


async def test_a_first_cluster_says_nothing_that_a_default_says(kube: Kube, namespace: str) -> None:
    for manifest in objects(FOLDER / "first-cluster.yaml"):
        manifest["metadata"]["namespace"] = namespace
        whole = await asking.created(kube, namespace, manifest)
        for field in manifest["spec"]:
            without = {k: v for k, v in manifest["spec"].items() if k != field}
            shorter = {**manifest, "spec": without}
            try:
                stored = await asking.created(kube, namespace, shorter)
            except asking.InvalidObject:
                continue
            assert stored["spec"] != whole["spec"], f"{field} is what the default says"


def test_every_example_is_listed() -> None:
    listed = (FOLDER / "README.md").read_text()
    assert [f.name for f in FILES if f"`{f.name}`" not in listed] == []
