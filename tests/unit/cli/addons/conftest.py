"""An API server in memory with a cluster operator in small."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.cli.addons.things import ADDONS, HERE, addon
from tests.unit.fakeapi import FakeApi

from kok.kube import watch as watching


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches that end begin again without a pause."""
    monkeypatch.setattr(watching.random, "uniform", lambda *_: 0.0)


@pytest.fixture
def operator(api: FakeApi) -> None:
    """A cluster operator in small: each Addon as `spec.addons` wants it, and Ready."""
    default = {"coredns", "flannel", "kube-proxy"}

    def work() -> None:
        spec = api.objects[HERE]["spec"]
        asked = {one["name"]: one for one in spec.get("addons") or ()}
        on = {n for n in default | asked.keys() if asked.get(n, {}).get("enabled", True)}
        for name in sorted(on):
            values = asked.get(name, {}).get("values") or {}
            path = f"{ADDONS}/demo-{name}"
            if api.objects.get(path, {}).get("spec", {}).get("values") != values:
                api.put(path, addon(f"demo-{name}", values=values))
        ours = [p for p in api.objects if p.startswith(f"{ADDONS}/demo-")]
        for path in ours:
            if path.removeprefix(f"{ADDONS}/demo-") not in on:
                api.drop(path)

    async def watched(request: Any) -> None:
        if "watch" in request.query:
            asyncio.get_running_loop().call_later(0.1, work)

    api.script("GET", "addons$", watched)
