"""Whether an API server answers: by its requests, and by asking while there is silence."""

from __future__ import annotations

import asyncio

from kok.kube.errors import Unreachable
from kok.runtime.clock import settle
from kok.workload.availability import Availability, AvailabilityTimings

SILENCE = AvailabilityTimings().silence


async def never() -> None:
    """A question that nobody answers; it is not asked before the test is over."""
    await asyncio.Event().wait()


async def test_one_lost_request_is_no_outage_and_silence_is() -> None:
    now, told = [100.0], []
    server = Availability(lambda: now[0])
    server.follow(never, lambda: told.append(server.answers))
    server.observe("GET", 200)
    server.observe("GET", 0)
    assert server.answers is True
    now[0] += SILENCE
    assert server.silence == SILENCE
    server.observe("GET", 503)
    assert server.answers is False
    server.observe("GET", 403)  # Refused is answered.
    assert (server.answers, server.silence) == (True, 0.0)
    assert told == [False, True]
    await server.close()


def test_a_question_that_is_refused_counts_and_a_refused_write_does_not() -> None:
    told: list[bool] = []
    server = Availability(lambda: 0.0)
    server.follow(never, lambda: told.append(server.refused))
    server.observe("GET", 200)
    server.observe("PATCH", 403)  # By a webhook, for example.
    assert told == []
    server.observe("GET", 403)
    server.observe("GET", 403)
    assert (server.answers, server.refused, told) == (True, True, [True])
    server.observe("GET", 200)
    assert told == [True, False]


async def test_one_that_never_answered_is_not_given_the_benefit_of_the_doubt() -> None:
    told: list[bool | None] = []
    server = Availability(lambda: 0.0)
    server.follow(never, lambda: told.append(server.answers))
    server.observe("GET", 0)
    assert server.answers is False
    # Whoever has looked before that would not hear of it by anything else.
    assert told == [False]
    await server.close()


def test_that_it_answers_for_the_first_time_is_no_news() -> None:
    told: list[bool | None] = []
    server = Availability(lambda: 0.0)
    server.follow(never, lambda: told.append(server.answers))
    server.observe("GET", 200)
    assert (server.answers, told) == (True, [])


async def test_a_silent_one_is_asked_until_it_answers() -> None:
    """A watch that goes on says nothing of it until it ends, minutes later."""
    asked: list[int] = []
    answered = asyncio.Event()
    server = Availability(lambda: 0.0, AvailabilityTimings(ask_min=0.0, ask_max=0.0))

    async def ask() -> None:
        asked.append(1)
        if len(asked) < 3:
            server.observe("GET", 0)
            raise Unreachable("nobody there")
        server.observe("GET", 200)
        answered.set()

    server.follow(ask, lambda: None)
    server.observe("GET", 0)
    server.observe("GET", 0)
    async with asyncio.timeout(60):
        await answered.wait()
    await settle()
    assert len(asked) == 3, "one question at a time, and none after the answer"
    await server.close()
