"""APIs that are to go and are still used: as each API server counts them, and as objects record it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi

from kok.kube.client import Kube
from kok.kube.errors import TooLarge
from kok.operators.cluster.businesscluster.deprecated import (
    Counted,
    Requested,
    Stored,
    parsed,
    requested,
    stored,
)
from kok.versions import Minor, RemovedAPI

METRICS = """\
# HELP apiserver_requested_deprecated_apis [STABLE] Gauge of deprecated APIs that have been requested
# TYPE apiserver_requested_deprecated_apis gauge
apiserver_requested_deprecated_apis{group="",removed_release="",resource="componentstatuses",subresource="",version="v1"} 1
apiserver_requested_deprecated_apis{group="networking.k8s.io",removed_release="1.37",resource="servicecidrs",subresource="",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="networking.k8s.io",removed_release="1.37",resource="servicecidrs",subresource="status",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="resource.k8s.io",removed_release="1.38",resource="resourceclaims",subresource="",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="storage.k8s.io",removed_release="1.37",resource="volumeattributesclasses",subresource="",version="v1beta1"} 0
apiserver_request_total{code="200",component="apiserver",group="",resource="nodes",verb="LIST",version="v1"} 12
process_start_time_seconds 1.79655e+09
"""
CIDRS = RemovedAPI(group="networking.k8s.io", version="v1beta1", resources=("servicecidrs",))


def a_request(version: str = "v1beta1", sub: str = "", **changes: str) -> Requested:
    found = {"group": "networking.k8s.io", "resource": "servicecidrs", **changes}
    return Requested(found["group"], version, found["resource"], sub, Minor(1, 37))


def test_what_goes_is_read_and_what_never_goes_or_was_not_asked_for_is_not() -> None:
    assert list(parsed(METRICS.splitlines())) == [
        a_request(),
        a_request(sub="status"),
        Requested("resource.k8s.io", "v1beta1", "resourceclaims", "", Minor(1, 38)),
    ]
    assert a_request(sub="status").name == "networking.k8s.io/v1beta1/servicecidrs/status"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "apiserver_requested_deprecated_apis",
        'apiserver_requested_deprecated_apis{group="a",removed_release="soon",resource="b"} 1',
        'apiserver_requested_deprecated_apis{group="a",removed_release="1.37",version="v1"} 1',
        'apiserver_requested_deprecated_apis{group="\x1b[2J",removed_release="1.37",'
        'resource="b",version="v1"} 1',
        'apiserver_requested_deprecated_apis{removed_release="1.37",resource="b",version="v1"}',
    ],
)
def test_what_is_no_such_line_says_nothing(line: str) -> None:
    assert list(parsed([line])) == []


async def test_all_api_servers_behind_one_address_are_met(api: FakeApi, kube: Kube) -> None:
    turns = itertools.cycle(["1", "1", "2"])

    async def answer(_request: web.Request) -> web.Response:
        server = next(turns)
        text = METRICS.replace("v1beta1", f"v1beta{server}").replace("1.79655e+09", server)
        return web.Response(text=text)

    api.script("GET", "/metrics", answer)

    def again() -> Kube:
        return Kube(kube.access, field_manager="test")

    found = await requested(kube, again, 2)
    assert found.servers == 2
    assert {one.version for one in found.apis} == {"v1beta1", "v1beta2"}


async def test_it_is_not_asked_for_ever_where_one_server_always_answers(
    api: FakeApi, kube: Kube
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=METRICS)

    api.script("GET", "/metrics", answer)
    found = await requested(kube, lambda: Kube(kube.access, field_manager="test"), 9)
    assert found.servers == 1
    assert len(api.requests) <= 13
    assert (await requested(kube, None, 2)).servers == 1


async def test_of_long_metrics_little_is_kept_and_too_long_ones_are_not_read(
    api: FakeApi, kube: Kube
) -> None:
    noise = "".join(f'apiserver_request_total{{n="{n}"}} 1\n' for n in range(20_000))

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=noise + METRICS + noise)

    api.script("GET", "/metrics", answer)
    lines = await kube.matching(
        "/metrics", "apiserver_requested_deprecated_apis{", most=10**7, timeout=5
    )
    assert len(lines) == 5
    with pytest.raises(TooLarge):
        await kube.matching("/metrics", "apiserver", most=1000, timeout=5)
    with pytest.raises(TooLarge, match="1000 lines"):
        await kube.matching("/metrics", "apiserver", most=10**7, timeout=5)

    async def endless(_request: web.Request) -> web.Response:
        return web.Response(text="x" * 100_000)

    api.script("GET", "/endless", endless)
    with pytest.raises(TooLarge, match="without an end"):
        await kube.matching("/endless", "x", most=10**7, timeout=5)


def written(api: FakeApi, name: str, *writers: tuple[str, str]) -> None:
    fields = [{"manager": manager, "apiVersion": version} for manager, version in writers]
    api.put(
        f"/apis/networking.k8s.io/v1/servicecidrs/{name}", {"metadata": {"managedFields": fields}}
    )


def serve(api: FakeApi, versions: Sequence[str]) -> None:
    async def group(_request: web.Request) -> web.Response:
        return web.json_response({"versions": [{"version": version} for version in versions]})

    api.script("GET", "^/apis/networking.k8s.io$", group)


async def test_objects_name_who_still_writes_them_by_that_version(api: FakeApi, kube: Kube) -> None:
    serve(api, ["v1", "v1beta1"])
    written(api, "other", ("kubectl", "networking.k8s.io/v1"))
    for number in range(5):
        written(api, f"c{number}", ("helm", "networking.k8s.io/v1beta1"), ("kubectl", "v1"))
    [found] = await stored(kube, [CIDRS])
    assert found == Stored(
        "networking.k8s.io/v1beta1", "servicecidrs", ("c0", "c1", "c2"), True, ("helm",)
    )
    asked = [path for _, path in api.requests]
    assert not any("v1beta1/" in path for path in asked), "that would be counted as a use"


@pytest.mark.parametrize("versions", [["v1beta1"], []])
async def test_where_no_other_version_is_served_nothing_is_asked(
    api: FakeApi, kube: Kube, versions: list[str]
) -> None:
    serve(api, versions)
    assert await stored(kube, [CIDRS]) == ()
    assert await stored(kube, [RemovedAPI(group="no.such", version="v1", resources=("a",))]) == ()


def test_nothing_counted_is_nothing_found() -> None:
    assert Counted() == Counted(frozenset(), 0)
