"""What is told of GPUs, by the real script in a real shell, and what comes of it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.remote.test_survey import run

from kok.api.machine.machine import GPUFacts
from kok.operators.machine import gpus
from kok.operators.machine.gpus import Gpus
from kok.operators.machine.remote import survey

SMI = "595.91.07, 143771, NVIDIA H200\n595.91.07, 143771, NVIDIA H200\n"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    for slot, vendor, kind in (
        ("01:00.0", "0x10de", "0x030200"),
        ("02:00.0", "0x10de", "0x030000"),
        ("03:00.0", "0x10de", "0x068000"),
        ("04:00.0", "0x8086", "0x030000"),
    ):
        device = tmp_path / "pci" / slot
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "class").write_text(f"{kind}\n")
    (tmp_path / "bin").mkdir()
    return tmp_path


def look(host: Path, **environment: str) -> Gpus:
    path = f"{host}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    found = run(
        survey.script([], []), host / "kok", KOK_PCI=str(host / "pci"), PATH=path, **environment
    )
    return survey.parse(found, datetime.now(UTC)).gpus


def smi(host: Path, text: str) -> None:
    program = host / "bin/nvidia-smi"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


def test_without_a_driver_the_bus_tells_how_many_there_are(host: Path) -> None:
    assert look(host) == Gpus(count=2)


def test_with_a_driver_model_memory_and_version_are_told(host: Path) -> None:
    smi(host, f"printf '%s' '{SMI}'")
    assert look(host) == Gpus(2, "NVIDIA H200", 143771, "595.91.07")


def test_a_driver_that_does_not_answer_is_quoted(host: Path) -> None:
    smi(host, "echo 'NVIDIA-SMI has failed: no driver'; exit 9")
    assert look(host) == Gpus(2, silent="NVIDIA-SMI has failed: no driver")


def test_nothing_waits_for_a_driver_that_hangs(host: Path) -> None:
    """In the kernel, that is, where no signal ends what asks it: it keeps its output open."""
    hangs = f"setsid sh -c 'sleep 60; : >{host}/ended' &"
    smi(host, f"{hangs}\necho $! >{host}/hangs\ntrap '' TERM\nsleep 60")
    try:
        assert look(host, KOK_GPU_SECONDS="1") == Gpus(2, silent="no answer within 1 s")
        assert not (host / "ended").exists()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(int((host / "hangs").read_text()), signal.SIGKILL)


def test_a_host_without_gpus_is_not_asked_for_them(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "pci").mkdir()
    smi(tmp_path, f"touch {tmp_path}/asked")
    assert look(tmp_path) == Gpus()
    assert not (tmp_path / "asked").exists()


def test_odd_words_about_gpus_do_no_harm() -> None:
    lines = ["gpu", "gpu count x", f"gpu count {'9' * 50}", "gpu card", "gpu card ,,", "gpu odd 1"]
    assert gpus.parse(lines) == Gpus()
    long = gpus.parse(["gpu count 999999", f"gpu card {'d' * 999},1,{'m' * 999}"])
    assert (long.count, len(long.model), len(long.driver)) == (1024, 128, 128)


def test_what_is_not_told_for_the_moment_stays_as_it_was() -> None:
    known = GPUFacts(count=2, model="NVIDIA H200", memory_mi=143771, driver="595.91.07")
    assert gpus.facts(Gpus(2, silent="no answer"), known) == known
    assert gpus.facts(Gpus(1), known) == GPUFacts(count=1)
    assert gpus.facts(Gpus(), known) is None


def test_nodes_are_labelled_where_pods_can_get_gpus() -> None:
    listed = [{"name": "nvidia-toolkit", "version": "1.20.2"}]
    machine = builders.machine(components=listed, labels={"a": "b", gpus.COUNT: "0"})
    found = GPUFacts(count=2, model="NVIDIA H200 (SXM)", memory_mi=143771, driver="595.91.07")
    assert gpus.labels(machine, found) == {
        "nvidia.com/gpu.present": "true",
        # What an author says of his nodes wins.
        "nvidia.com/gpu.count": "0",
        "nvidia.com/gpu.product": "NVIDIA-H200-SXM",
        "nvidia.com/gpu.memory": "143771",
        "nvidia.com/cuda.driver-version.full": "595.91.07",
        "a": "b",
    }
    assert gpus.labels(machine, None) == machine.spec.labels
    assert gpus.labels(builders.machine(), found) == {}
