"""Where objects lie below an API server's address."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from kok.api.meta import Kind
from kok.kube.errors import NotFound


def object_path(
    kind: Kind,
    namespace: str | None = None,
    name: str | None = None,
    subresource: str | None = None,
) -> str:
    """The path of an object, or without `name` of the collection (`namespace` None: of all).

    Raises `NotFound` for what would lead to another object or to a collection: names are often
    what somebody wrote into a spec, and `..` is one that no object can have.

    >>> object_path(Kind("apps", "v1", "Deployment", "deployments"), "default", "web", "scale")
    '/apis/apps/v1/namespaces/default/deployments/web/scale'
    """
    if name is not None and kind.namespaced and not namespace:
        raise ValueError(f"{kind.kind} {name} needs a namespace")
    parts = ["apis", kind.group, kind.version] if kind.group else ["api", kind.version]
    if kind.namespaced and namespace:
        parts += ["namespaces", namespace]
    parts += [kind.plural, *(part for part in (name, subresource) if part is not None)]
    for part in parts:
        if part in _NO_NAMES:
            raise NotFound(404, "NotFound", f'no {kind.kind} can have the name or path "{part}"')
    return "".join(f"/{quote(part, safe=':')}" for part in parts)


_NO_NAMES = frozenset({"", ".", ".."})
"""Parts of a path that are resolved before it is sent."""


def namespace_of(path: str) -> str | None:
    """The namespace of a path's objects; None for those of all, and of kinds that have none.

    >>> namespace_of("/apis/apps/v1/namespaces/default/deployments/web")
    'default'
    """
    _, found, rest = path.partition("/namespaces/")
    namespace, inside, _ = rest.partition("/")
    return namespace if found and inside else None


def selector(
    labels: Mapping[str, str] | str | None, fields: Mapping[str, str] | str | None
) -> dict[str, str]:
    """The query parameters of a selection."""
    query: dict[str, str] = {}
    if labels:
        query["labelSelector"] = _joined(labels)
    if fields:
        query["fieldSelector"] = _joined(fields)
    return query


def _joined(terms: Mapping[str, str] | str) -> str:
    if isinstance(terms, str):
        return terms
    return ",".join(f"{key}={value}" for key, value in sorted(terms.items()))
