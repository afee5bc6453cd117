"""Services of a host for tests: a manager of services that keeps its state in files.

A host has programs of its own beside the operator's directory. These stand for systemd: what they are
asked is what the scripts ask, and what they do shows in the files.
"""

from __future__ import annotations

import os
from pathlib import Path

SYSTEMCTL = r"""#!/bin/sh
top=${0%/*}/..
for last; do :; done
name=${last%.service}
unit=$top/units/$name
field() { sed -n "s/^$1=//p" "$unit" 2>/dev/null; }
put() {
    sed "s/^$1=.*/$1=$2/" "$unit" >"$unit.new" && mv "$unit.new" "$unit"
}
tell() { echo "$name.service: $1" >>"$top/journal"; }
case $1 in
    show) cat "$unit" 2>/dev/null ;;
    is-active) [ "$(field ActiveState)" = active ] || exit 3 ;;
    is-enabled) field UnitFileState; [ "$(field UnitFileState)" = enabled ] ;;
    enable) echo "enable $name" >>"$top/ran"; put UnitFileState enabled ;;
    unmask) echo "unmask $name" >>"$top/ran"; put UnitFileState disabled ;;
    restart)
        echo "restart $name" >>"$top/ran"
        [ ! -e "$top/gate" ] || { echo >"$top/reached"; cat "$top/gate"; }
        if [ -e "$unit.broken" ]; then exit 1; fi
        put ActiveState active
        put SubState running
        rm -f "$unit.sick"
        tell started
        ;;
    reboot | --no-block) echo reboot >>"$top/ran" ;;
    *) ;;
esac
"""
JOURNALCTL = """#!/bin/sh
exec tail -n 0 -f "${0%/*}/../journal"
"""
SYSTEMD_RUN = """#!/bin/sh
printf '%s\\n' "$@" >"${0%/*}/../watched-files"
"""


class Services:
    """What stands for systemd on a host whose directory is `home`."""

    def __init__(self, home: Path, *names: str) -> None:
        self.top = home.parent
        self.units, self.bin = self.top / "units", self.top / "bin"
        self.units.mkdir(parents=True)
        self.bin.mkdir()
        self.journal.write_text("")
        for name, text in (
            ("systemctl", SYSTEMCTL),
            ("journalctl", JOURNALCTL),
            ("systemd-run", SYSTEMD_RUN),
        ):
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        for name in names:
            self.put(name)

    @property
    def journal(self) -> Path:
        """What the manager told."""
        return self.top / "journal"

    @property
    def ran(self) -> list[str]:
        """What it was asked to do, one after the other."""
        file = self.top / "ran"
        return file.read_text().splitlines() if file.exists() else []

    def put(
        self,
        name: str,
        state: str = "active",
        sub: str = "running",
        *,
        enabled: str = "enabled",
        restarts: int = 0,
        result: str = "success",
    ) -> None:
        """How a service is from now on; the journal tells of it."""
        fields = {
            "ActiveState": state,
            "SubState": sub,
            "NRestarts": restarts,
            "UnitFileState": enabled,
            "LoadState": "loaded",
            "Result": result,
            "ActiveEnterTimestampMonotonic": 0,
            "MainPID": 0,
        }
        new = self.units / f"{name}.new"
        new.write_text("".join(f"{key}={value}\n" for key, value in fields.items()))
        new.replace(self.units / name)
        self.tell(f"{name}.service: {sub}")

    def tell(self, text: str) -> None:
        """A line of the journal, as of a path unit that is triggered."""
        with self.journal.open("a") as journal:
            journal.write(f"{text}\n")

    def sicken(self, name: str) -> None:
        """It runs on, and its health script says that it does not work, until it is restarted."""
        (self.units / f"{name}.sick").write_text("")

    def health(self, name: str) -> str:
        """A health script for one."""
        return f"[ ! -e {self.units}/{name}.sick ] || {{ echo 'tool is sick'; exit 1; }}"

    def environment(self, home: Path) -> dict[str, str]:
        """For scripts that are run without a host."""
        return {"KOK_HOME": str(home), "PATH": os.environ["PATH"]}
