"""The go.mod of a build."""

from __future__ import annotations

import json

from e2e.lab.programs import gomod

KUBERNETES = json.dumps(
    {
        "Module": {"Path": "k8s.io/kubernetes"},
        "Go": "1.26.0",
        "Godebug": [{"Key": "default", "Value": "go1.26"}],
        "Require": [
            {"Path": "k8s.io/api", "Version": "v0.0.0"},
            {"Path": "k8s.io/klog/v2", "Version": "v2.130.1"},
        ],
        "Replace": [
            {"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}},
            {
                "Old": {"Path": "example.test/a", "Version": "v1.0.0"},
                "New": {"Path": "example.test/b", "Version": "v1.1.0"},
            },
        ],
    }
)


def _lines(overrides: dict[str, str] | None = None) -> list[str]:
    upstream = gomod.parse(KUBERNETES)
    return gomod.render(upstream, ["k8s.io/kubernetes"], "v1.37.1", overrides).splitlines()


def test_the_wanted_module_is_required_with_its_own_language_version() -> None:
    assert "require k8s.io/kubernetes v1.37.1" in _lines()
    assert "go 1.26.0" in _lines()
    assert "godebug default=go1.26" in _lines()


def test_staging_modules_get_the_version_published_with_the_release() -> None:
    assert "replace k8s.io/api => k8s.io/api v0.37.1" in _lines()
    assert not any("klog" in line for line in _lines())


def test_replacements_by_a_module_are_kept_and_those_by_a_folder_are_not() -> None:
    assert "replace example.test/a v1.0.0 => example.test/b v1.1.0" in _lines()
    assert not any("./staging" in line for line in _lines())


def test_overrides_win() -> None:
    lines = _lines({"k8s.io/api": "k8s.io/api v0.36.0"})
    assert "replace k8s.io/api => k8s.io/api v0.36.0" in lines
    assert "replace k8s.io/api => k8s.io/api v0.37.1" not in lines


def test_what_is_built_with_the_libraries_of_another_has_their_versions() -> None:
    shared = gomod.libraries(gomod.parse(KUBERNETES), "v1.37.1")
    own = json.dumps({"Go": "1.9", "Require": [{"Path": "k8s.io/api", "Version": "v0.30.0"}]})
    text = gomod.render(gomod.parse(own), ["example.test/tool"], "v0.1.0", shared)

    assert "replace k8s.io/api => k8s.io/api v0.37.1" in text
    assert "replace k8s.io/klog/v2 => k8s.io/klog/v2 v2.130.1" in text
    assert "require example.test/tool v0.1.0" in text
    assert gomod.later("1.9", "1.26.0") == "1.26.0"
