"""`kok machine logs`: what services and jobs on the host of a Machine wrote."""

from __future__ import annotations

import re
from collections.abc import Callable

from kok.api.printable import plain
from kok.cli.machines.logins import host_of, told
from kok.cli.options import KubectlOptions
from kok.cli.query import Refused
from kok.operators.machine.remote import shell

DEADLINE = 60.0
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

# Of a component the service of its name, and all jobs for it; without one, what makes a node.
_SCRIPT = """
units=$KOK_COMPONENT
[ -n "$units" ] || units="kubelet containerd docker cri-dockerd"
for job in "$KOK"/jobs/*; do
    component=$(cat "$job/component" 2>/dev/null) || continue
    [ -z "$KOK_COMPONENT" ] || [ "$component" = "$KOK_COMPONENT" ] || continue
    ended=$(cat "$job/exit" 2>/dev/null)
    say "==> job ${job##*/} of $component (${ended:+exit code }${ended:-under way}) <=="
    tail -n "$KOK_LINES" "$job/log" 2>/dev/null
done
if ! has journalctl; then
    say "==> the host has no journal <=="
    exit 0
fi
set --
for unit in $units; do set -- "$@" -u "$unit.service"; done
[ -n "$KOK_COMPONENT" ] || set -- "$@" -u 'kok-job-*.service'
"""
_ALL = 'journalctl -q --no-pager -o short-iso -n "$KOK_LINES" "$@"\nexit\n'
# Its shell goes on reading when this is through, and comes to an end with the connection.
_FOLLOWED = """
journalctl -q --no-pager -o short-iso -n "$KOK_LINES" -f "$@" &
trap "kill $!" EXIT
"""


async def show(
    name: str,
    namespace: str | None,
    options: KubectlOptions,
    out: Callable[[str], None],
    *,
    component: str = "",
    lines: int = 100,
    follow: bool = False,
) -> None:
    """Hands on each line, fit for a terminal; with `follow` until it is cancelled.

    Raises `KubeError`.
    """
    if component and not _NAME.fullmatch(component):
        raise Refused(f"--component {component}: write the name of a Component, such as kubelet")
    values = {"KOK_COMPONENT": component, "KOK_LINES": str(lines)}
    text = shell.compose(values, _SCRIPT, _FOLLOWED if follow else _ALL)

    def each(line: str) -> None:
        out(plain(line))

    async with host_of(name, namespace, options) as connection:
        with told():
            await connection.follow(text, each, deadline=None if follow else DEADLINE)
