"""What is waited for by looking at it again and again."""

from __future__ import annotations

import asyncio

import pytest
from e2e.polling import eventually, eventually_now


async def test_the_first_true_answer_is_given() -> None:
    answers = iter([0, None, "", 7, 8])

    async def look() -> object:
        return next(answers)

    assert await eventually(look, 5.0, every=0.0) == 7
    assert await eventually(lambda: next(answers), 5.0) == 8


async def test_what_means_that_it_is_not_so_far_is_no_error_and_all_else_is() -> None:
    answers = iter([KeyError("a"), LookupError("b"), OSError("c")])

    def look() -> None:
        raise next(answers)

    with pytest.raises(OSError, match="c"):
        await eventually(look, 5.0, every=0.0, unless=(LookupError,))


async def test_what_was_seen_last_is_told() -> None:
    with pytest.raises(TimeoutError, match=r"not within 0 s; seen last: False"):
        await eventually(lambda: False, 0.02, every=0.001)


async def test_a_look_that_hangs_is_given_up() -> None:
    with pytest.raises(TimeoutError, match="seen last: nothing"):
        await eventually(asyncio.Event().wait, 0.02)


def test_without_an_event_loop_it_blocks() -> None:
    answers = iter([False, True])
    assert eventually_now(lambda: next(answers), 5.0, every=0.0)
    with pytest.raises(TimeoutError, match="KeyError"):
        eventually_now(lambda: {}["a"], 0.02, every=0.001, unless=(KeyError,))
