"""Who else there is: listed seldom, and never too early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from tests.unit.operators.machine import builders

from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.decoding.truncation import MARK
from kok.operators.machine.machine_lists import EVERY, REMEMBERED, MachineLists
from kok.runtime.clock import settle


class Listing:
    """A meta cluster of which Machines can be listed."""

    def __init__(self, *machines: Machine) -> None:
        self.machines = list(machines)
        self.lists = 0

    async def list(self, _kind: object, _namespace: str | None, **_: object) -> list[Manifest]:
        self.lists += 1
        await asyncio.sleep(0)
        return [m.manifest() for m in self.machines]


def named(name: str) -> Machine:
    return builders.machine(metadata={"name": name, "uid": name})


async def test_many_who_ask_at_once_are_answered_by_one_list() -> None:
    now = [100.0]
    machines = [named(f"m{n}") for n in range(50)]
    kube: Any = Listing(*machines)
    lists = MachineLists(lambda: now[0])
    found = await asyncio.gather(*(lists.of(kube, m, 0.0) for m in machines))
    assert kube.lists == 1
    assert {len(others.objects) for others in found} == {49}
    now[0] += EVERY
    await lists.of(kube, machines[0], 0.0)
    assert kube.lists == 2


async def test_no_elder_and_nobody_who_marked_the_host_is_missed() -> None:
    kube: Any = Listing(named("old"))
    lists = MachineLists(lambda: 100.0)
    await lists.of(kube, named("old"), 0.0)
    kube.machines += [named("elder"), named("younger")]
    # Whoever was there before the one who asks is in the list that has the one who asks.
    found = await lists.of(kube, kube.machines[-1], 0.0)
    assert {m.name for m in found.objects} == {"old", "elder"}
    # The host was seen after the list was made: its owner may be newer than that.
    kube.machines.append(named("owner"))
    found = await lists.of(kube, kube.machines[0], 100.5)
    assert "owner" in {m.name for m in found.objects}


async def test_a_machine_that_nobody_can_read_ends_no_census() -> None:
    class Odd(Listing):
        async def list(self, _kind: object, _namespace: str | None, **_: object) -> list[Manifest]:
            good = [m.manifest() for m in self.machines]
            wrong = named("odd").manifest()
            wrong["spec"]["port"] = "twenty-two"
            large = {**named("large").manifest(), MARK: "spec", "spec": {}}
            return [wrong, large, *good]

    kube: Any = Odd(named("a"), named("b"))
    lists = MachineLists(lambda: 100.0)
    found = await lists.of(kube, named("a"), 0.0)
    assert [m.name for m in found.objects] == ["b"]
    # They are not taken for gone: a host that bears their mark is theirs.
    assert {odd.uid for odd in found.odd} == {"odd", "large"}
    assert [m.name for m in (await lists.now(kube, "team-a")).objects] == ["a", "b"]


class Slow:
    """A namespace whose Machines can be listed, one list after the other as a test lets them end."""

    def __init__(self) -> None:
        self.lists = 0
        self.go_on = asyncio.Event()

    async def list(
        self, *_: object, keep: Callable[[Manifest], Manifest], **__: object
    ) -> list[Manifest]:
        self.lists += 1
        number = self.lists
        await self.go_on.wait()
        return [keep(builders.machine(metadata={"name": f"list-{number}"}).manifest())]


async def test_many_nodes_that_join_at_once_share_a_list_of_machines() -> None:
    kube, lists = Slow(), MachineLists(lambda: 100.0)

    async def asked() -> str:
        found = await lists.now(cast("Kube", kube), "team-a")
        return found.objects[0].name

    first = asyncio.create_task(asked())
    await settle()
    later = [asyncio.create_task(asked()) for _ in range(50)]
    await settle()
    kube.go_on.set()
    async with asyncio.timeout(60):
        # A list that had begun before the question might lack a Machine.
        assert await first == "list-1"
        assert set(await asyncio.gather(*later)) == {"list-2"}
        assert await asked() == "list-3"


async def test_of_namespaces_that_nobody_asks_about_nothing_is_remembered() -> None:
    now = [100.0]
    lists = MachineLists(lambda: now[0])
    large: Any = Listing(*[named("m")] * (REMEMBERED // 2))
    for namespace in ("a", "b", "c"):
        now[0] += EVERY / 10
        await lists.now(large, namespace)
    # As many as there is room for, the newest.
    assert set(lists._of) == {"b", "c"}
    now[0] += EVERY
    await lists.now(cast("Any", Listing(named("d"))), "d")
    assert set(lists._of) == {"d"}
