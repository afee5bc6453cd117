"""How scenarios end."""

from __future__ import annotations

import pytest
from e2e.framework.follow import TooLate
from e2e.framework.report import run_to_end
from e2e.lab.errors import LabError

from kok.kube.errors import Unreachable


async def _failing(error: Exception) -> None:
    raise error


async def _seven() -> int:
    return 7


@pytest.mark.parametrize("kind", [LabError, TooLate, Unreachable])
def test_what_a_person_can_mend_ends_with_its_sentence(
    capsys: pytest.CaptureFixture[str], kind: type[Exception]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_to_end(_failing(kind("12 GiB are free: make room")))
    assert ended.value.code == 1
    assert capsys.readouterr().err == "\n12 GiB are free: make room\n"


def test_what_a_scenario_asserts_keeps_its_traceback() -> None:
    with pytest.raises(AssertionError):
        run_to_end(_failing(AssertionError("two leaders")))


def test_a_good_end_gives_its_result() -> None:
    assert run_to_end(_seven()) == 7
