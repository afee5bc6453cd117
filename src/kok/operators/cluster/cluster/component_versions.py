"""Which version each component of the control plane runs, or is to run now. Pure."""

from __future__ import annotations

from kok import versions
from kok.api.cluster.cluster import Cluster
from kok.operators.cluster.cluster.observe import ClusterView, Running, etcd_answers
from kok.operators.cluster.naming import API_SERVER, COMPONENTS, CONTROLLER_MANAGER, SCHEDULER


def versions_to_run(cluster: Cluster, view: ClusterView, *, answers: bool) -> dict[str, str]:
    """The components to have now, each with its version.

    At creation the API server starts as soon as etcd has a quorum, the others when the API
    answers. A new version reaches the API server first; the others follow once it is rolled out
    completely, since none of them may be newer than any API server that it talks to.
    """
    target = version_to_reach(cluster, view)
    server = view.running(cluster.name, API_SERVER)
    out: dict[str, str] = {}
    if server is not None or etcd_answers(view.etcd(cluster.name), secret=view.etcd_secret):
        waits = server is not None and _others_first(cluster, view, server, target)
        out[API_SERVER] = server.version if server is not None and waits else target
    done = server is not None and server.complete and server.version == target
    for component in (CONTROLLER_MANAGER, SCHEDULER):
        current = view.running(cluster.name, component)
        if current is not None:
            follows = done or is_above(current.version, target)
            out[component] = target if follows else current.version or target
            continue
        # One that was deleted comes back also while the API is away, as it was.
        before = _before(cluster, component)
        if answers or before:
            out[component] = target if done else before or target
    return out


def _others_first(cluster: Cluster, view: ClusterView, server: Running, target: str) -> bool:
    """Whether a version that is taken back has yet to leave the others.

    They come first on the way back for the same reason for which they come last on the way up. An
    API server that does not work at the version waits for nobody.
    """
    others = (view.running(cluster.name, c) for c in (CONTROLLER_MANAGER, SCHEDULER))
    return (
        server.complete
        and is_above(server.version, target)
        and any(o is not None and (o.version != target or not o.complete) for o in others)
    )


def is_above(version: str, target: str) -> bool:
    """Whether a version is later than another; False for what is no version."""
    one, other = _number(version), _number(target)
    return one is not None and other is not None and one > other


def version_to_reach(cluster: Cluster, view: ClusterView) -> str:
    """`spec.version`, or a step on the way there: no component skips a minor.

    The API server of the meta cluster refuses a spec that skips one, but the spec may be raised
    again while the step before is still being rolled out.
    """
    target = cluster.spec.version
    running = {v for c in COMPONENTS for v in _may_run(cluster, view, c)}
    known = sorted(v for v in map(_number, running) if v is not None)
    if not known:
        return target
    step = versions.parse(versions.next_step(str(known[0]), target))
    if step.line == versions.parse(target).line:
        return target
    # What is being rolled out may be newer than what this release knows.
    return str(max([step, *(v for v in known if v.line == step.line)]))


def _may_run(cluster: Cluster, view: ClusterView, component: str) -> list[str]:
    """The versions of a component that its pods may be at."""
    state, before = view.running(cluster.name, component), _before(cluster, component)
    if state is None or not state.complete:
        return [v for v in (state.version if state else None, before) if v]
    return [state.version]


def _before(cluster: Cluster, component: str) -> str | None:
    """The version that was last rolled out completely."""
    return next((c.version for c in cluster.status.components if c.name == component), None)


def _number(version: str) -> versions.Version | None:
    try:
        return versions.parse(version)
    except versions.UnknownVersion:
        return None  # Somebody wrote something else into the label.


def running_version(cluster: Cluster, view: ClusterView) -> str | None:
    """The version that all of the control plane runs; None until there is one.

    During a change it stays what it was, since nodes and addons go by it.
    """
    states = [view.running(cluster.name, c) for c in COMPONENTS]
    found = {s.version for s in states if s is not None and s.complete}
    if len(found) == 1 and all(s is not None and s.complete for s in states):
        return found.pop()
    return cluster.status.version
