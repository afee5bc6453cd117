"""One operator as a kopf application: which events wake which object, and kopf's settings."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, cast

import structlog

from kok.api.meta import GROUP, Kind, Manifest
from kok.kube.http.access import Access
from kok.kube.http.session import new_session
from kok.kube.objects.ownership import owner_keys
from kok.runtime.controller.loop import Controller
from kok.runtime.controller.reconciler import Key, Logger, OperatorSpec, Wake, selected
from kok.runtime.kopf.isolation import Insights, kopf
from kok.runtime.kopf.partial_objects import PartialObjects, PartialResponse

SERVER_TIMEOUT = 300
CONNECT_TIMEOUT = 10
REQUEST_TIMEOUT = 30
CHUNK = 50
EXIT_TIMEOUT = 0.2
STOP_TIMEOUT = 10.0
"""Seconds in which a cancelled pass has to end."""

log: Logger = structlog.stdlib.get_logger("kok.process")
Waker = Callable[[str, Manifest], None]
"""Told the type of a watch event (None: listed) and the object."""


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing: we compare with the world, not with what was last handled."""

    def fetch(self, **_: Any) -> None:
        """Nothing is stored."""

    def store(self, **_: Any) -> None:
        """Stores nothing; an annotation with the whole spec would double every object."""


class EveryTask(Collection[Any]):
    """Claims to hold every task: kopf, at its end, then cancels only those that it started.

    It would otherwise end whatever else runs in the event loop: other operators, our own tasks.
    """

    def __contains__(self, _task: object) -> bool:
        """Always."""
        return True

    def __iter__(self) -> Iterator[Any]:
        """Nothing to be listed."""
        return iter(())

    def __len__(self) -> int:
        """Nothing to be counted."""
        return 0


class Kopf:
    """One operator's kopf."""

    def __init__(
        self, operator: OperatorSpec, controllers: Sequence[Controller], access: Access
    ) -> None:
        self._operator = operator
        self._controllers = controllers
        self._access = access
        self._insights = Insights()

    @property
    def kinds(self) -> set[Kind]:
        """The kinds it has to watch."""
        wakes = {wake.kind for one in self._operator.reconcilers for wake in one.wakes_on}
        return wakes | {controller.kind for controller in self._controllers}

    def watched(self) -> set[Kind]:
        """Those of them that it does watch."""
        seen = {(r.group, r.version, r.plural) for r in self._insights.watched_resources}
        return {kind for kind in self.kinds if (kind.group, kind.version, kind.plural) in seen}

    async def run(
        self, *, namespaces: Collection[str], stop: asyncio.Event, ready: asyncio.Event
    ) -> None:
        """Runs until `stop` is set; sets `ready` when it has begun. Raises what ends it."""
        operator, controllers = self._operator, self._controllers
        tasks = await kopf.spawn_tasks(
            registry=kopf_registry(operator, controllers, self._access),
            settings=kopf_settings(operator, controllers),
            insights=self._insights,
            # By itself kopf would look for the user in /etc/passwd, where that of a pod need not
            # be.
            identity=cast("Any", f"kok-{operator.name}"),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=stop,
            ready_flag=ready,
        )
        await kopf.run_tasks(tasks, ignored=EveryTask())


def kopf_settings(operator: OperatorSpec, controllers: Sequence[Controller]) -> Any:
    """What we need kopf to do differently from its defaults."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.process.ultimate_exiting_timeout = None
    settings.persistence.finalizer = operator.finalizer
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(
        prefix=f"{operator.name}.{GROUP}"
    )
    # A limit below the number of objects would deadlock kopf's index barrier.
    settings.queueing.worker_limit = None
    # At the end nothing is worth waiting for: whatever is cut off is done again by the next one.
    settings.queueing.exit_timeout = EXIT_TIMEOUT
    settings.watching.server_timeout = SERVER_TIMEOUT
    settings.watching.connect_timeout = CONNECT_TIMEOUT
    settings.watching.chunk_size = CHUNK
    settings.networking.request_timeout = REQUEST_TIMEOUT
    settings.networking.connect_timeout = CONNECT_TIMEOUT
    for kind, labels in watch_selectors(operator, [c.kind for c in controllers]).items():
        settings.watching.label_selectors[kind.group, kind.version, kind.plural] = labels
    return settings


def watch_selectors(operator: OperatorSpec, primaries: Iterable[Kind]) -> dict[Kind, str]:
    """The label selector with which each kind is watched; kinds watched whole are not in it."""
    whole = set(primaries)
    owners: dict[Kind, set[str]] = defaultdict(set)
    custom: dict[Kind, set[str]] = defaultdict(set)
    for reconciler in operator.reconcilers:
        for wake in reconciler.wakes_on:
            labels = selected(wake, reconciler.model.info.kind)
            if labels is None:
                whole.add(wake.kind)
            elif wake.labels is None and wake.key is None:
                owners[wake.kind].add(reconciler.model.info.kind.kind)
            else:
                custom[wake.kind].add(labels)
    found: dict[Kind, str] = {}
    for kind in (owners.keys() | custom.keys()) - whole:
        if not custom[kind]:
            found[kind] = f"kok.dev/owner-kind in ({','.join(sorted(owners[kind]))})"
        elif not owners[kind] and len(custom[kind]) == 1:
            found[kind] = next(iter(custom[kind]))
        # Several selectors cannot be joined by "or": such a kind is watched whole.
    return found


def kopf_registry(operator: OperatorSpec, controllers: Sequence[Controller], access: Access) -> Any:
    """The handlers: wakes, the daemon and the clean-up of each kind; and the login."""
    registry = kopf.OperatorRegistry()
    wakers: dict[Kind, list[Waker]] = defaultdict(list)
    for reconciler, controller in zip(operator.reconcilers, controllers, strict=True):
        wakers[controller.kind].append(PrimaryWaker(controller, operator.finalizer))
        for wake in reconciler.wakes_on:
            wakers[wake.kind].append(child_waker(wake, controller))
        _register_life(registry, controller)
    for kind, interested in wakers.items():
        _register_wakes(registry, kind, interested)
    gists = PartialObjects(wakers.keys() - whole_kinds(operator))

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> Any:
        return kopf.AiohttpSession(
            server=access.server,
            default_namespace=access.namespace,
            # One object that its parser cannot bear would end it, for all objects.
            aiohttp_session=new_session(
                access, limit=0, response_class=PartialResponse, middlewares=(gists,)
            ),
        )

    return registry


def whole_kinds(operator: OperatorSpec) -> set[Kind]:
    """The kinds of which some wake looks at more than metadata."""
    wakes = (wake for one in operator.reconcilers for wake in one.wakes_on)
    return {wake.kind for wake in wakes if wake.whole}


def _register_life(registry: Any, controller: Controller) -> None:
    kind = controller.kind

    @kopf.daemon(
        kind.group,
        kind.version,
        kind.plural,
        id="care",
        registry=registry,
        cancellation_timeout=STOP_TIMEOUT,
    )
    async def care(namespace: str | None, name: str, stopped: Any, **_: Any) -> None:
        try:
            await controller.care((namespace or "", name))
        except asyncio.CancelledError:
            # kopf asked for the end, by this flag before it cancelled: no need for it to warn.
            if not stopped:
                raise

    @kopf.on.delete(kind.group, kind.version, kind.plural, id="clean-up", registry=registry)
    async def clean_up(namespace: str | None, name: str, **_: Any) -> None:
        await controller.clean_up((namespace or "", name))


def _register_wakes(registry: Any, kind: Kind, interested: Sequence[Waker]) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, id="wake", registry=registry)
    async def wake(event: Any, **_: Any) -> None:
        for waker in interested:
            waker(event["type"] or "LISTED", event["object"])


class PrimaryWaker:
    """Wakes an object when somebody else changed it; its own status writes do not count."""

    def __init__(self, controller: Controller, finalizer: str) -> None:
        self._controller = controller
        self._finalizer = finalizer
        self._seen: dict[str, object] = {}

    def __call__(self, event: str, manifest: Manifest) -> None:
        """Takes one watch event."""
        meta = manifest["metadata"]
        key, uid = (str(meta.get("namespace") or ""), str(meta["name"])), str(meta["uid"])
        if event == "DELETED":
            self._seen.pop(uid, None)
            self._controller.gone(key, uid)
            return
        gist = self._gist(meta)
        if self._seen.get(uid) != gist:
            self._seen[uid] = gist
            self._controller.triggers.wake(key, hard=True)

    def _gist(self, meta: dict[str, Any]) -> object:
        annotations = meta.get("annotations") or {}
        ours = {key: value for key, value in annotations.items() if key.startswith(f"{GROUP}/")}
        labels = meta.get("labels") or {}
        return (
            meta.get("generation"),
            meta.get("deletionTimestamp"),
            self._finalizer in (meta.get("finalizers") or ()),
            tuple(sorted(ours.items())),
            tuple(sorted(labels.items())),
        )


def child_waker(wake: Wake, controller: Controller) -> Waker:
    """Wakes the owners of a changed child."""

    def keys(manifest: Manifest) -> Iterable[Key]:
        if wake.key is not None:
            return wake.key(manifest)
        return owner_keys(manifest, controller.kind)

    def woken(_event: str, manifest: Manifest) -> None:
        try:
            found = list(keys(manifest))
        except Exception:
            # One odd object must not keep others from being woken; the resync finds it anyway.
            log.exception("cannot tell whom a change wakes", kind=wake.kind.kind)
            return
        for key in found:
            controller.triggers.wake(key)

    return woken
