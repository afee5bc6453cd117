"""systemd reads its units anew only where one has changed: running containers may lose their GPUs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.unit.operators.machine import builders

from kok.operators.machine.component import catalog, functions
from kok.operators.machine.component.render import rendered
from kok.operators.machine.remote import shell

_SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$ROOT/told"
[ "$1" != show ] || for unit in "$LOADED $CHANGED"; do
    printf 'LoadState=%s\\nNeedDaemonReload=%s\\n\\n' $unit
done
"""
_UNITS = ["containerd", "cri-dockerd", "docker", "kubelet"]


def run(
    top: Path, script: str, *, loaded: str = "loaded", changed: str = "no", **env: str
) -> list[str]:
    """What systemctl is told by a script that sees no file and no other program of this machine."""
    (top / "bin").mkdir(exist_ok=True)
    for name, text in {"systemctl": _SYSTEMCTL, "sh": "#!/bin/dash\n"}.items():
        (top / "bin" / name).write_text(text)
        (top / "bin" / name).chmod(0o755)
    made = {"ROOT": str(top), "LOADED": loaded, "CHANGED": changed, "PATH": f"{top}/bin"}
    ended = subprocess.run(
        ["/bin/sh", "-eu"],
        input=re.sub(r"^mkdir .*$", "", script, flags=re.MULTILINE),
        env={**made, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return (top / "told").read_text().splitlines()


def restart(name: str) -> str:
    made = rendered(builders.builtin(name), builders.machine(), {}, builders.survey())
    return made.scripts["restart"]


@pytest.mark.parametrize("name", _UNITS)
def test_a_restart_with_units_as_they_were_has_systemd_read_nothing(
    tmp_path: Path, name: str
) -> None:
    told = run(tmp_path, restart(name))
    assert "daemon-reload" not in told
    assert told[-1].endswith(f"restart {name}")


@pytest.mark.parametrize("name", _UNITS)
@pytest.mark.parametrize("state", [("loaded", "yes"), ("not-found", "no")])
def test_a_unit_that_changed_or_is_new_is_read_before_it_is_started(
    tmp_path: Path, name: str, state: tuple[str, str]
) -> None:
    told = run(tmp_path, restart(name), loaded=state[0], changed=state[1])
    assert told.count("daemon-reload") == 1
    assert told.index("daemon-reload") < told.index(told[-1])


@pytest.mark.parametrize("state", [("loaded", "yes"), ("not-found", "no")])
def test_a_unit_that_is_gone_is_forgotten_only_where_systemd_holds_it(
    tmp_path: Path, state: tuple[str, str]
) -> None:
    script = functions.complete("forget_units docker docker-containerd\n")
    told = run(tmp_path, script, loaded=state[0], changed=state[1])
    assert ("daemon-reload" in told) is (state == ("loaded", "yes"))


def test_a_component_of_a_users_own_has_the_same_functions(tmp_path: Path) -> None:
    own = builders.component(
        scripts={"install": "reread_units tool\n", "uninstall": "forget_units tool\n"}
    )
    made = rendered(own, builders.machine(), {}, builders.survey())
    assert run(tmp_path, made.scripts["install"], changed="yes")[-1] == "daemon-reload"
    assert run(tmp_path, made.scripts["uninstall"], changed="yes")[-1] == "daemon-reload"


def test_the_kubelet_is_let_in_without_a_reload(tmp_path: Path) -> None:
    script = shell.library("units") + shell.library("join") + "say() { :; }\nstart_kubelet\n"
    told = run(tmp_path, script, KOK_FORGET="")
    assert "daemon-reload" not in told
    assert "enable --no-reload --quiet kubelet" in told


_BARE = re.compile(r"systemctl\b.*\b(?:daemon-reload|(?:enable|disable|preset|mask|link)\b)")


@pytest.mark.parametrize("name", sorted(catalog.builtin()))
def test_no_script_reloads_by_the_way(name: str) -> None:
    """`enable` and `disable` have systemd read all its units anew as well, if nobody forbids it."""
    scripts = builders.builtin(name).spec.scripts
    for phase in ("install", "upgrade", "restart", "uninstall", "health", "probe"):
        for line in (getattr(scripts, phase) or "").splitlines():
            assert not _BARE.search(line) or "--no-reload" in line, f"{name}/{phase}: {line}"
