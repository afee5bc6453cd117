"""What the load counts as a failure, and when it says that somebody noticed something."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pycurl
import pytest
from e2e.load.exchange import Answer, Talk
from e2e.load.lanes import Asker
from e2e.load.sequence import Gaps, Leader, Numbers
from e2e.load.tally import TELLS, Tally, comes_again, quantile
from e2e.load.verdict import faults, line, undisturbed
from e2e.polling import eventually

DIED = b"Connection died, retrying a fresh connect (retry count: 1)\n"
REFUSED = b"REFUSED_STREAM, retrying a fresh connect (retry count: 1)\n"
AFTER_GOAWAY = b"HTTP/2 stream 7 refused by server, try again on a new connection\n"


@pytest.mark.parametrize(
    ("status", "retry_after", "again"),
    [(429, 1.0, True), (503, 1.0, True), (429, None, False), (503, None, False), (409, 1.0, False)],
)
def test_a_server_is_asked_again_only_where_it_says_when(
    status: int, retry_after: float | None, again: bool
) -> None:
    assert comes_again(status, retry_after) is again


@pytest.mark.parametrize(
    ("method", "said", "races", "fault"),
    [
        ("GET", [DIED], 1, False),
        ("PUT", [DIED], 0, True),
        ("PUT", [REFUSED], 1, False),
        ("PUT", [AFTER_GOAWAY, DIED], 1, False),
        ("PATCH", [DIED], 0, True),
    ],
)
def test_what_was_sent_and_may_do_harm_twice_is_no_race(
    method: str, said: list[bytes], races: int, fault: bool
) -> None:
    talk = Talk(method)
    talk.hear(pycurl.INFOTYPE_HEADER_OUT, b"PUT /a HTTP/1.1")
    for text in said:
        talk.hear(pycurl.INFOTYPE_TEXT, text)
    assert (talk.races, talk.fault is not None) == (races, fault)


def test_what_was_never_sent_can_be_sent_again() -> None:
    talk = Talk("PUT")
    talk.hear(pycurl.INFOTYPE_TEXT, DIED)
    talk.hear(pycurl.INFOTYPE_HEADER_OUT, b"PUT /a HTTP/1.1")
    assert (talk.races, talk.fault) == (1, None)


def test_quantiles_are_those_of_all_times() -> None:
    times = [n / 1000 for n in range(1, 101)]
    assert [quantile(times, share) for share in (0.5, 0.99, 1.0)] == [50.5, 100.0, 100.0]
    assert quantile([], 0.5) == 0.0


def test_failures_are_all_counted_and_the_first_and_last_are_told() -> None:
    tally = Tally(0.0)
    for n in range(100):
        tally.fail("list", float(n), f"failure {n}")
    told = tally.lap(100.0)
    assert told["failed"] == 100
    texts = [one["text"] for one in told["failures"]]
    assert len(texts) == TELLS
    assert (texts[0], texts[-1]) == ("failure 0", "failure 99")
    assert tally.lap(101.0)["failed"] == 0


def test_a_number_that_is_left_out_is_lost_and_one_that_comes_again_doubled() -> None:
    numbers = Numbers()
    for number in (7, 8, 11, 11, 9, 12):
        numbers.see(number)
    assert (numbers.lost, numbers.doubled, numbers.last) == (2, 2, 12)
    assert numbers.named == ["11 after 8", "11 after 11", "9 after 11"]
    assert (numbers.missing(12), numbers.missing(15)) == (0, 3)


def test_what_is_found_by_a_list_was_not_seen_to_happen() -> None:
    numbers = Numbers()
    numbers.find(3)
    numbers.see(4)
    numbers.find(4)
    assert numbers.lost == 0
    numbers.find(9)
    numbers.see(10)
    assert (numbers.lost, numbers.doubled) == (5, 0)


def test_silence_counts_up_to_now() -> None:
    gaps = Gaps()
    for at in (1.0, 2.0, 5.0, 6.0):
        gaps.see(at)
    assert gaps.longest(6.5) == 3.0
    assert gaps.lap(10.0) == 4.0
    assert gaps.lap(10.0) == 4.0


def test_a_leader_is_renewed_by_whoever_holds_the_lease() -> None:
    leader = Leader()
    leader.see("a", "2026-11-30T05:00:00.000000Z")
    leader.see("", "2026-11-30T05:00:01.000000Z")
    leader.see("b", "2026-11-30T05:00:07.500000Z")
    assert leader.holders == 2
    assert leader.gaps.longest(leader.gaps.last or 0.0) == 7.5


def _told(**changed: Any) -> dict[str, Any]:
    watches = dict.fromkeys(("lost", "doubled", "behind", "relisted", "ended", "broken"), 0)
    usual: dict[str, Any] = {
        **Tally(0.0).lap(60.0),
        "done": 3000,
        "watches": {**watches, "count": 20, "seen": 6000, "latest": 300, "named": []},
        "leaders": {"kube-scheduler": {"longest_s": 2.1, "holders": 1}},
        "streams": {"logs": {"breaks": 1, "silence_s": 1.5}},
    }
    for path, value in changed.items():
        *outer, last = path.split("__")
        target = usual
        for name in outer:
            target = target[name]
        target[last] = value
    return usual


def test_a_load_that_nobody_disturbed_is_told_in_a_line() -> None:
    assert faults(_told()) == []
    assert faults(_told(done=0), rest=True) == []
    # No API server can tell a client by HTTP/1.1 that it is about to end an idle connection.
    assert faults(_told(torn=8)) == []
    undisturbed(_told())
    assert "3000 requests in 60.0 s, 0 failed" in line(_told())
    assert "logs: 1 breaks, 1.5 s silent" in line(_told())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"failed": 1, "failures": [{"at": 1, "kind": "k", "text": "why"}]}, "1 of 3001 requests failed: 1 s k: why"),
        ({"torn": 9}, "9 writes of 3009 requests were sent by HTTP/1.1 connections that ended"),
        ({"done": 0}, "too few to prove anything"),
        ({"skipped": 1500}, "too few to prove anything"),
        ({"watches__lost": 2}, "'lost': 2"),
        ({"watches__doubled": 2}, "'doubled': 2"),
        ({"watches__behind": 2}, "'behind': 2"),
        ({"watches__relisted": 2}, "'relisted': 2"),
        ({"watches__seen": 0}, "no watch saw anything"),
        ({"streams": {"logs": {"breaks": 3, "silence_s": 9.5}}}, "logs broke 3 times, and was silent for 9.5 s"),
        ({"leaders": {"kcm": {"longest_s": 5.2, "holders": 2}}}, "kcm did not renew its Lease for 5.2 s"),
        ({"leaders": {"kcm": {"longest_s": 0.0, "holders": 0}}}, "kcm never had a leader"),
    ],
)  # fmt: skip
def test_every_disturbance_is_said(changed: dict[str, Any], said: str) -> None:
    told = _told(**changed)
    assert said in "; ".join(faults(told))
    with pytest.raises(AssertionError):
        undisturbed(told)


class Again:
    """A client whose server tells it to come again once, and then answers."""

    def __init__(self) -> None:
        self.asked = 0

    async def send(self, *_: object, **__: object) -> Answer:
        self.asked += 1
        return Answer(429, retry_after=0.2) if self.asked == 1 else Answer(200)


async def test_what_is_due_behind_one_that_has_to_wait_is_held_and_not_skipped() -> None:
    tally = Tally(0.0)
    asker = Asker(tally, "renew", [cast("Any", Again())])
    request = asyncio.create_task(asker.ask("PUT", "/a"))
    await eventually(lambda: tally.of("renew").waited, 5.0)
    asker.skip()
    await request
    asker.skip()
    count = tally.of("renew")
    assert (count.waited, count.held, count.skipped, len(count.times)) == (1, 1, 1, 1)
