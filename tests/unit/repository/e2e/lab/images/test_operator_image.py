"""What KOK's image depends on."""

from __future__ import annotations

from pathlib import Path

from e2e.lab.images import operator_image, rootfs
from e2e.lab.machine.cache import Cache
from e2e.lab.programs.binaries import program
from tests.unit.repository.chart.conftest import HELM_VERSION

ROOT = Path(__file__).parents[6]
DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS build
COPY requirements/runtime.txt \\
     pyproject.toml ./
COPY --chown=0:0 src src
FROM ${BASE}
COPY --from=build /opt/kok /opt/kok
"""


def test_what_is_copied_from_the_checkout_is_found() -> None:
    assert operator_image.copied(DOCKERFILE) == [
        "requirements/runtime.txt",
        "pyproject.toml",
        "src",
    ]


def test_the_named_stages_before_the_image_are_found() -> None:
    assert operator_image.stages(DOCKERFILE) == ["build"]
    assert operator_image.stages("FROM a\nCOPY x y\n") == []


def _checkout(root: Path) -> Path:
    (root / "src").mkdir(parents=True)
    (root / "src" / "a.py").write_text("a = 1")
    (root / "Dockerfile").write_text(DOCKERFILE)
    (root / "README.md").write_text("text")
    return root


def test_only_what_goes_into_the_image_changes_it(tmp_path: Path) -> None:
    root = _checkout(tmp_path)
    before = operator_image.digest(root, ["src"], "base")
    (root / "README.md").write_text("other text")
    (root / "src" / "__pycache__").mkdir()
    (root / "src" / "__pycache__" / "a.pyc").touch()
    assert operator_image.digest(root, ["src"], "base") == before
    assert operator_image.digest(root, ["src"], "another base") != before
    (root / "src" / "a.py").write_text("a = 2")
    assert operator_image.digest(root, ["src"], "base") != before


def test_a_renamed_file_changes_the_image(tmp_path: Path) -> None:
    root = _checkout(tmp_path)
    before = operator_image.digest(root, ["src"], "base")
    (root / "src" / "a.py").rename(root / "src" / "b.py")
    assert operator_image.digest(root, ["src"], "base") != before


def test_the_image_holds_the_helm_that_everything_is_tested_with() -> None:
    known = program("helm").version
    recipe = (operator_image.CHECKOUT / "Dockerfile").read_text()
    makefile = (operator_image.CHECKOUT / "Makefile").read_text()
    assert f"ARG HELM_VERSION={known}\n" in recipe
    assert f"HELM := helm@{known}\n" in makefile
    assert known == HELM_VERSION
    assert "scripts/image_helm.py" in operator_image.copied(recipe)


def test_the_latest_images_stay_and_the_one_in_use_whatever_its_age() -> None:
    images = [f"kok/{name}:{tag}" for tag in "edcba" for name in ("operator", "operator-build")]

    assert operator_image.outdated(images, "e") == [
        "kok/operator:b",
        "kok/operator-build:b",
        "kok/operator:a",
        "kok/operator-build:a",
    ]
    assert "kok/operator:a" not in operator_image.outdated(images, "a")
    assert operator_image.outdated(images[:2], "e") == []


def test_an_image_that_the_registry_holds_is_not_to_be_built(tmp_path: Path) -> None:
    root, cache = _checkout(tmp_path / "checkout"), Cache(tmp_path / "cache")
    (root / "src" / "a.py").write_text("a = 3")
    (wanted,) = operator_image.pending(cache, root)
    assert (wanted.name, wanted.measured) == ("KOK's image", False)
    made_of = operator_image.made_of(rootfs.PYTHON.image)
    tag = operator_image.digest(root, operator_image.copied(DOCKERFILE), made_of)
    tags = "registry/docker/registry/v2/repositories/kok/kok/_manifests/tags"
    (cache.root / tags / tag).mkdir(parents=True)
    assert operator_image.pending(cache, root) == []


def test_what_the_image_is_made_of_is_not_kept_from_whoever_builds_it() -> None:
    copied = operator_image.copied((ROOT / "Dockerfile").read_text())
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert {path for path in copied if f"!{path.split('/')[0]}" not in kept} <= {
        line.removeprefix("!") for line in kept
    }
