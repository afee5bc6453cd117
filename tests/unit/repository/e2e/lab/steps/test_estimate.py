"""How long a run still takes, as people are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.lab.images import rootfs
from e2e.lab.machine.cache import Cache
from e2e.lab.programs.binaries import Builder, Program, architecture
from e2e.lab.steps import forecast
from e2e.lab.steps.durations import Durations
from e2e.lab.steps.estimate import Estimate, told
from e2e.lab.steps.forecast import Pending
from e2e.lab.steps.graph import Graph, Step


async def _nothing() -> None: ...


class Run:
    """A graph of which steps begin and end at chosen times."""

    def __init__(self, *steps: tuple[str, float, tuple[str, ...]]) -> None:
        graph = Graph()
        for name, expected, needs in steps:
            graph.add(Step(name, _nothing, needs, expected=expected))
        self.steps = graph.steps
        self.now = 0.0
        self.estimate = Estimate(self.steps, lambda: self.now)

    def does(self, name: str, seconds: float) -> None:
        """A step from its beginning to its end."""
        self.estimate.started(self.steps[name])
        self.now += seconds
        self.estimate.finished(self.steps[name])


def test_what_waits_for_each_other_adds_up_and_what_runs_beside_does_not() -> None:
    run = Run(("a", 100, ()), ("b", 50, ("a",)), ("c", 120, ()), ("d", 10, ("b", "c")))
    assert run.estimate.left() == 160


def test_a_slow_machine_shows_in_what_it_has_done() -> None:
    run = Run(("a", 100, ()), ("b", 50, ("a",)))
    run.does("a", 300)
    assert run.estimate.left() == 150
    run.estimate.started(run.steps["b"])
    run.now += 100
    assert run.estimate.left() == 50
    run.now += 900
    assert run.estimate.left() == 0, "longer than it should: nothing is promised"


def test_a_step_of_a_second_says_nothing_about_the_machine() -> None:
    run = Run(("a", 1, ()), ("b", 50, ("a",)))
    run.does("a", 60)
    assert run.estimate.left() == 50


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, ""), (19, ""), (44, ", about 40 s to go"), (100, ", about 2 min to go")],
)
def test_what_is_left_is_told_in_round_figures(seconds: float, said: str) -> None:
    assert told(seconds) == said


def test_what_is_built_first_is_told_with_the_time_that_it_took_before(tmp_path: Path) -> None:
    builder = Builder(Cache(tmp_path), Path("/go"), "go1.26.6")
    etcd = [Program("etcd", "v3.6.10"), Program("etcdctl", "v3.6.10")]
    helm = Program("helm", "v4.3.1")
    Durations(builder.cache).note("etcd-v3.6.10", 54.2)
    assert builder.expected(etcd) == 54.2
    lines = forecast.lines(builder.pending([*etcd, helm]))
    assert lines[0] == "to be built first, once:"
    assert [line.split()[0] for line in lines[1:-1]] == ["etcd-v3.6.10", "helm-v4.3.1"]
    assert lines[1].endswith("about 54 s, as last time")
    assert lines[2].endswith("about 2 min")
    for item in (*etcd, helm):
        builder.path(item).parent.mkdir(parents=True)
        builder.path(item).touch()
    assert forecast.lines(builder.pending([*etcd, helm])) == []
    assert builder.expected(etcd) == 0


def test_what_is_downloaded_is_told_with_its_size_and_goes_on_beside_builds() -> None:
    lines = forecast.lines(
        [
            Pending("kubernetes-v1.37.1", 70.0, mebibytes=400, origin="https://dl.k8s.io"),
            Pending("etcd-v3.6.10", 5.0, True, 23, "https://example.org"),
            Pending("flannel-v0.26.7", 75.0),
        ]
    )
    assert lines == [
        "to be downloaded first, once (about 423 MiB):",
        f"  {'kubernetes-v1.37.1':32} about 70 s from https://dl.k8s.io, about 400 MiB",
        f"  {'etcd-v3.6.10':32} about 5 s, as last time from https://example.org, about 23 MiB",
        "to be built first, once:",
        f"  {'flannel-v0.26.7':32} about 75 s",
        "  together about 75 s",
    ]


def test_root_file_systems_that_are_kept_are_not_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert [each.name for each in rootfs.pending(cache)] == [
        f"rootfs {name}" for name in ("services", "host", "toolbox", "python")
    ]
    Durations(cache).note("rootfs host", 33.0)
    (host,) = rootfs.pending(cache, rootfs.HOST)
    assert (host.seconds, host.measured) == (33.0, True)
    cache.path("rootfs", "host", f"{rootfs.HOST.digest}-{architecture()}").mkdir(parents=True)
    assert rootfs.pending(cache, rootfs.HOST) == []


def test_times_that_cannot_be_read_are_not_known(tmp_path: Path) -> None:
    durations = Durations(Cache(tmp_path))
    (tmp_path / "durations.json").write_text("{")
    assert durations.known() == {}
    durations.note("a", 1.0)
    assert durations.known() == {"a": 1.0}
