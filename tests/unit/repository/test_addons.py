"""Every built-in addon is a folder, and all folders are alike."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from kok import addons
from kok.addons import DEFAULTS, FACTS, IMAGES, NAMES, builtin_addon
from kok.versions import kubernetes, kubernetes_minors

FOLDERS = Path(addons.__file__).parent
MANUAL = Path(__file__).parents[3] / "docs" / "addons.md"
REQUIRED = {"addon.yaml", "manifests.yaml.j2", "values.yaml"}
ASKED_FOR = re.compile(r'\bimage\("([^"]+)"\)')


def test_every_folder_is_an_addon() -> None:
    folders = {path.name for path in FOLDERS.iterdir() if path.is_dir()} - {"__pycache__"}
    assert set(NAMES) == folders
    assert set(DEFAULTS) == {"coredns", "flannel", "kube-proxy"}


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_has_the_files_of_an_addon_and_no_others(name: str) -> None:
    files = {path.name for path in (FOLDERS / name).iterdir()}
    assert files >= REQUIRED
    assert files <= {*REQUIRED, "values.schema.json"}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_fits_into_those_of_objects(name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,38}[a-z0-9]", name)


@pytest.mark.parametrize("name", NAMES)
def test_an_addon_is_described_in_sentences(name: str) -> None:
    facts = FACTS[name]
    for text in (facts.description, facts.upgrade.note):
        assert text.strip().endswith("."), text
        assert "\n" not in text.strip()


@pytest.mark.parametrize("name", NAMES)
def test_a_template_asks_for_images_of_addons_and_for_its_own(name: str) -> None:
    asked = set(ASKED_FOR.findall(builtin_addon(name).template))
    assert asked <= set(IMAGES)
    # Its version is that of the addon.
    assert name in asked
    assert name in FACTS[name].images


def test_no_two_addons_have_an_image_of_the_same_name() -> None:
    names = [image for facts in FACTS.values() for image in facts.images]
    assert len(names) == len(set(names))
    assert set(names) == set(IMAGES)


def test_images_have_a_version_of_their_own_or_that_of_the_cluster() -> None:
    for minor in kubernetes_minors():
        release = kubernetes(f"{minor}.0")
        for name, image in IMAGES.items():
            assert release.image(name).endswith(f":{image.tag or f'v{minor}.0'}")


@pytest.mark.parametrize("name", NAMES)
def test_every_value_is_explained_and_has_a_default(name: str) -> None:
    text = (FOLDERS / name / "values.yaml").read_text()
    values = yaml.safe_load(text)
    assert text.startswith(f"# Values of the built-in addon {name}, with their defaults.\n")
    assert values == builtin_addon(name).values
    assert None not in values.values()


@pytest.mark.parametrize("name", [name for name in NAMES if builtin_addon(name).values_schema])
def test_a_schema_knows_every_value_and_its_default_fits(name: str) -> None:
    addon = builtin_addon(name)
    schema = addon.values_schema
    assert schema is not None
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema["properties"]) == set(addon.values)
    assert schema["additionalProperties"] is False
    jsonschema.validate(addon.values, schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize("name", NAMES)
def test_the_manual_has_a_section_for_each(name: str) -> None:
    lines = MANUAL.read_text().splitlines()
    assert f"### {name}" in lines
