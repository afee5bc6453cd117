"""The CRDs as files: written where they belong, and only they."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kok.api import KINDS
from kok.api.crd import crd, main

ROOT = Path(__file__).parents[3]


def test_files_are_written_whole_and_stale_ones_vanish(tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").write_text("kind: Old")
    assert main([str(tmp_path)]) == 0
    found = {f.name: yaml.safe_load(f.read_text()) for f in tmp_path.iterdir()}
    assert found == {f"{k.info.kind.plural}.yaml": crd(k) for k in KINDS}


def test_writing_twice_writes_the_same(tmp_path: Path) -> None:
    main([str(tmp_path / "a"), str(tmp_path / "b")])
    main([str(tmp_path / "b")])
    first, second = (
        {f.name: f.read_text() for f in (tmp_path / name).iterdir()} for name in ("a", "b")
    )
    assert first == second


def test_the_checkout_holds_what_the_models_say(tmp_path: Path) -> None:
    main([str(tmp_path)])
    wanted = {f.name: f.read_text() for f in tmp_path.iterdir()}
    for folder in (ROOT / "crds", ROOT / "charts" / "kok" / "crds"):
        assert {f.name: f.read_text() for f in folder.iterdir()} == wanted, "run make crds"


def test_every_kind_has_a_status_and_shows_its_age() -> None:
    for kind in KINDS:
        (version,) = crd(kind)["spec"]["versions"]
        assert version["subresources"]["status"] == {}
        assert "Age" in [c["name"] for c in version["additionalPrinterColumns"]]


def unbounded(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Lists of texts that may be of any number or length."""
    items = schema.get("items", {})
    if items.get("type") == "string":
        bounded = "maxItems" in schema and ("maxLength" in items or "enum" in items)
        yield from () if bounded else [path]
    inner = [*schema.get("properties", {}).items()]
    inner += [("*", schema[key]) for key in ("items", "additionalProperties") if key in schema]
    for key, value in inner:
        yield from unbounded(value, f"{path}.{key}")


def test_lists_of_texts_that_users_write_are_bounded() -> None:
    found = []
    for kind in KINDS:
        (version,) = crd(kind)["spec"]["versions"]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        found += list(unbounded(spec, kind.info.kind.kind))
    assert found == []
