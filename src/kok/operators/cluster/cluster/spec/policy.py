"""What the administrator of the meta cluster allows in a Cluster. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.spec.flags import component_spec
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster
from kok.operators.cluster.endpoint import is_address
from kok.operators.cluster.naming import COMPONENTS, SPEC_FIELDS
from kok.runtime.controller.errors import Invalid
from kok.runtime.policy import (
    Policies,
    wrong_address,
    wrong_image,
    wrong_selector,
    wrong_toleration,
)

_NAME: Final = re.compile(r"[A-Za-z0-9._-]*")


def wrong_host(host: str) -> str | None:
    """Whether the endpoint's host is none, so that something else could come of it in a URL.

    The API server refuses it as well, but not where the Cluster is older than that rule.
    """
    if _NAME.fullmatch(host) or (is_address(host) and "%" not in host):
        return None
    return (
        f"spec.endpoint.host: {host!r} is no host; it cannot be changed, so create the Cluster anew "
        "with an IP address, or a name of letters, digits, dots, dashes and underscores, without "
        "https:// and port"
    )


def check(policies: Policies, resolved: ResolvedCluster) -> None:
    """Raises `Invalid` for the first field that the administrator does not allow.

    What etcd is to be is judged by its own operator.
    """
    problem = wrong_host(resolved.cluster.spec.endpoint.host)
    if problem is not None:
        raise Invalid(reasons.INVALID_NAME, problem)
    for problem in _problems(policies, resolved):
        if problem is not None:
            raise Invalid(reasons.FORBIDDEN_BY_POLICY, problem)


def _problems(policies: Policies, resolved: ResolvedCluster) -> Iterator[str | None]:
    spec = resolved.cluster.spec
    yield wrong_address(policies, spec.endpoint.host, "spec.endpoint.host")
    for component in COMPONENTS:
        given, field = component_spec(spec, component), f"spec.{SPEC_FIELDS[component]}"
        image = resolved.image(component, resolved.version)
        yield wrong_image(policies, image, "spec.images.registry")
        yield wrong_selector(policies, given.node_selector, f"{field}.nodeSelector")
        yield wrong_toleration(policies, given.tolerations, f"{field}.tolerations")
