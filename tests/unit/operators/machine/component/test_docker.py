"""Docker's own configuration: what KOK wants of it, and what others wrote there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operators.machine import builders

from kok.operators.machine.component import catalog
from kok.operators.machine.component.render import ComponentError, rendered

OTHERS = {
    "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}},
    "default-runtime": "nvidia",
    "exec-opts": ["native.cgroupdriver=systemd", 'odd,"{['],
}


def wanted(**params: Any) -> dict[str, Any]:
    made = rendered(builders.builtin("docker"), builders.machine(), params, builders.survey())
    text = next(f.content for f in made.files if f.path == "/etc/docker/kok/daemon.json")
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "kok").mkdir()
    for name in ("daemon-json.sh", "daemon-json.awk"):
        (tmp_path / name).write_text(catalog.text("docker", name))
    return tmp_path


def patch(etc: Path, what: str = "apply", **params: Any) -> subprocess.CompletedProcess[str]:
    (etc / "kok/daemon.json").write_text(json.dumps(wanted(**params), indent=2))
    return subprocess.run(
        ["/bin/sh", "-eu", etc / "daemon-json.sh", what],
        env={"KOK_DOCKER_CONFIG": str(etc), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def written(etc: Path) -> Any:
    return json.loads((etc / "daemon.json").read_text())


def test_containers_outlive_a_restart_and_the_driver_is_the_kubelets() -> None:
    found = wanted(cgroupDriver="cgroupfs")
    assert found["live-restore"] is True
    assert found["exec-opts"] == ["native.cgroupdriver=cgroupfs"]
    assert found["log-driver"] == "json-file"
    assert found["insecure-registries"] == []
    assert "registry-mirrors" not in found


def test_mirrors_are_those_of_docker_io_and_of_every_registry() -> None:
    mirrors = {"*": ["http://mirror:5000", "https://b"], "docker.io": ["https://a"]}
    found = wanted(mirrors=mirrors)
    assert found["registry-mirrors"] == ["https://a", "http://mirror:5000", "https://b"]
    assert found["insecure-registries"] == ["mirror:5000"]
    with pytest.raises(ComponentError, match="does not match"):
        wanted(mirrors={"*": ["http://mirror:5000/path"]})


def test_a_file_that_is_not_there_is_made_and_taken_away_again(etc: Path) -> None:
    assert patch(etc).returncode == 0
    assert written(etc) == wanted()
    assert patch(etc, "undo").returncode == 0
    assert not (etc / "daemon.json").exists()
    assert not (etc / "kok/before").exists()


def test_what_others_wrote_stays_and_what_was_replaced_comes_back(etc: Path) -> None:
    (etc / "daemon.json").write_text(json.dumps(OTHERS, indent=1))
    (etc / "daemon.json").chmod(0o600)
    patch(etc)
    assert written(etc) == {**OTHERS, **wanted()}
    assert (etc / "daemon.json").stat().st_mode & 0o777 == 0o600
    # Somebody, such as nvidia-ctk, writes meanwhile; and KOK wants something else.
    (etc / "daemon.json").write_text(json.dumps({**written(etc), "features": {"cdi": True}}))
    patch(etc, mirrors={"*": ["https://a"]})
    assert written(etc)["registry-mirrors"] == ["https://a"]
    patch(etc)
    assert "registry-mirrors" not in written(etc)
    patch(etc, "undo")
    assert written(etc) == {**OTHERS, "features": {"cdi": True}}


def test_nothing_is_written_where_nothing_changes(etc: Path) -> None:
    patch(etc)
    before = (etc / "daemon.json").stat()
    patch(etc)
    after = (etc / "daemon.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("text", ["[]", "{", '{"a"}', '{"a": }', '{"a": 1} x', '{"a": "b}', "{,}"])
def test_what_is_no_object_is_left_alone_and_told(etc: Path, text: str) -> None:
    (etc / "daemon.json").write_text(text)
    ended = patch(etc)
    assert ended.returncode == 1
    assert ended.stdout.endswith("daemon.json is not written as JSON; correct it, or remove it\n")
    assert (etc / "daemon.json").read_text() == text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('a"\\,:{}[] \té', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text('ab"\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(there=st.dictionaries(st.text('ab"\\ {', min_size=1, max_size=3), VALUES, max_size=4))
def test_any_object_is_understood(tmp_path_factory: pytest.TempPathFactory, there: Any) -> None:
    folder = tmp_path_factory.mktemp("docker")
    (folder / "kok").mkdir()
    for name in ("daemon-json.sh", "daemon-json.awk"):
        (folder / name).write_text(catalog.text("docker", name))
    (folder / "daemon.json").write_text(json.dumps(there, indent=2))
    assert patch(folder).returncode == 0
    assert written(folder) == {**there, **wanted()}
    patch(folder, "undo")
    kept = written(folder) if (folder / "daemon.json").exists() else {}
    assert kept == there
