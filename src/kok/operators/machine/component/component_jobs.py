"""The job that puts one component in place on a host. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from kok.api.machine.component import Artifact
from kok.operators.machine import reasons
from kok.operators.machine.component.render import Rendered
from kok.operators.machine.remote import host_paths, jobs, shell
from kok.operators.machine.remote.survey import Found

Action = Literal["install", "upgrade", "restart"]


def action(wanted: Rendered, found: Found) -> Action:
    """Which script leads from what is there to what is wanted."""
    if found.version == wanted.version and "restart" in wanted.scripts:
        return "restart"
    return "upgrade" if found.version and "upgrade" in wanted.scripts else "install"


def component_job(
    uid: str,
    wanted: Rendered,
    found: Found,
    attempt: int,
    *,
    base_url: str,
    after: Mapping[str, str],
    gone: Mapping[str, str] | None = None,
    ident: str = "",
) -> jobs.JobPlan:
    """The job that puts a component in place; `ident` is its ID where it is not one of the usual.

    `after` names the jobs (component -> ID) that have to go through before, `gone` those that take
    other software away first; downloads do not wait for them.
    """
    ident = ident or jobs.job_id(uid, wanted.name, wanted.version, wanted.config, attempt)
    what = action(wanted, found)
    needed = () if what == "restart" else wanted.artifacts
    steps = [
        *(
            ["step downloading\n", *(fetched_beside(a, base_url) for a in needed), "fetched\n"]
            if needed
            else []
        ),
        *(shell.call("depend", other, name) for name, other in sorted(after.items())),
        *(
            shell.call("depend", other, name, "gone")
            for name, other in sorted((gone or {}).items())
        ),
        "begin_component\n",
        shell.feed("keep", "uninstall", content=wanted.scripts["uninstall"]),
        # Whoever has to know it later, an operator of another release for one, reads it there.
        shell.feed("keep", "services", content="".join(f"{s}\n" for s in wanted.services)),
        shell.feed("keep", "remains", content="".join(f"{line}\n" for line in wanted.remains)),
        shell.feed("keep", "files.next", content="".join(f"{f.path}\n" for f in wanted.files)),
        "step files\n",
        *(_put(f.path, f.mode, f.content) for f in wanted.files),
        "forget_files\nsupersede\n",
        _environment(wanted, found),
        *_scripts(wanted.scripts, what),
        *_settings(wanted, found),
        shell.feed("probed", wanted.version, content=wanted.probe),
        shell.call("end_component", wanted.version, wanted.config),
        *(f'rm -f "$KOK/cache/{a.sha256}"\n' for a in wanted.artifacts),
        'rm -f "$DIR"/*.sh "$DIR/run"\n',
        "finish 0 Done ''\n",
    ]
    script = shell.compose(
        {"KOK_JOB": ident, "KOK_COMPONENT": wanted.name, "KOK_UID": uid},
        shell.library("run"),
        "owned\n",
        *steps,
    )
    return jobs.JobPlan(ident, wanted.name, what, wanted.timeout, script)


def needed_first(names: Iterable[str], wanted: Mapping[str, Rendered]) -> list[str]:
    """The names in order of their dependencies, otherwise as they come.

    Raises `ValueError` naming a circle.
    """
    todo, done, order = sorted(names), set[str](), list[str]()
    while todo:
        free = [
            name
            for name in todo
            if all(d in done or d not in todo for d in wanted[name].depends_on)
        ]
        if not free:
            raise ValueError(f"{' and '.join(todo)} depend on each other in a circle")
        order += free
        done |= set(free)
        todo = [name for name in todo if name not in done]
    return order


def fetched_beside(artifact: Artifact, base_url: str) -> str:
    """The line that begins to fetch a file; `fetched` waits for all of them."""
    call = shell.call("fetch", artifact.path, address(artifact, base_url), artifact.sha256)
    return f"{call.rstrip()} &\n"


def address(artifact: Artifact, base_url: str) -> str:
    """Where a machine fetches an artifact from."""
    if base_url or not artifact.url:
        return f"{base_url.rstrip('/')}/{artifact.path}"
    return artifact.url


def _put(path: str, mode: str, content: str) -> str:
    call = shell.feed("put", path, mode, content=content)
    return f"{call}[ $? = 0 ] || {_failed(f'cannot write {path}')}\n"


def _failed(message: str) -> str:
    return shell.call("finish", "1", reasons.JOB_FAILED, message).strip()


def _environment(wanted: Rendered, found: Found) -> str:
    text = shell.variables({"KOK_VERSION": wanted.version, "KOK_FOUND": found.version})
    # Into this file a script writes why the host has to boot before the software works.
    text += 'mark_boot\nKOK_REBOOT="$BOOT/reboots/$KOK_COMPONENT"\n'
    names = ["KOK_VERSION", "KOK_FOUND", "KOK_REBOOT", "CHANGED"]
    for artifact in wanted.artifacts:
        name = f"KOK_ARTIFACT_{artifact.name.upper().replace('-', '_')}"
        names.append(name)
        text += f'{name}="$KOK/cache/{artifact.sha256}"\n'
    return f"{text}export {' '.join(names)}\n"


def _settings(wanted: Rendered, found: Found) -> list[str]:
    """What the kernel and the manager of services were told once and have been told otherwise since."""
    if not found.wrong:
        return []
    calls = [shell.call("settle", f.path) for f in wanted.files]
    if wanted.name != host_paths.KUBELET:
        # That one is enabled by joining a cluster.
        calls += [shell.call("enabled", name) for name in wanted.services]
    return ["step settings\n", *calls]


def _scripts(texts: Mapping[str, str], what: str) -> list[str]:
    calls: list[str] = []
    if what == "restart":
        changed = shell.feed("script", "restart", content=texts["restart"])
        calls.append(f'if [ "$CHANGED" = yes ]; then\n{changed}fi\n')
    elif texts[what]:
        # Should it not get through, the next attempt must not take the software for untouched.
        calls.append(':>"$KOK_DIRTY"\n')
        calls.append(shell.feed("script", what, content=texts[what]))
    if "health" in texts:
        calls.append(shell.feed("script", "health", content=texts["health"]))
    return calls
