import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from pinetune.generation.admission import Admission, Kind
from pinetune.pod.errors import Busy, Unavailable


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


class Caller:
    """Comes in, if it is let in, and stays until told to go."""

    def __init__(self, admission: Admission, count: int, kind: Kind = "sampling") -> None:
        self.inside, self.may_go = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._use(admission, kind, count))

    async def _use(self, admission: Admission, kind: Kind, count: int) -> None:
        async with admission.enter(kind, count):
            self.inside.set()
            await self.may_go.wait()

    async def leave(self) -> None:
        self.may_go.set()
        await self.task


def test_callers_share_the_engine_until_too_much_waits() -> None:
    async def work() -> None:
        admission = Admission(running_max=4, waiting_max=2)
        first, second = Caller(admission, 3), Caller(admission, 3)
        await first.inside.wait()
        await second.inside.wait()
        assert admission.inside_count == 6
        with pytest.raises(Busy, match="6 completions are unfinished and 1 more would pass the 6") as caught:
            await Caller(admission, 1).task
        assert caught.value.retry_after_seconds
        await first.leave()
        third = Caller(admission, 1)
        await third.inside.wait()
        await second.leave()
        await third.leave()
        assert admission.inside_count == 0

    run(work())


def test_a_call_above_the_limit_is_let_in_where_it_is_alone() -> None:
    async def work() -> None:
        caller = Caller(Admission(running_max=1, waiting_max=1), 100)
        await caller.inside.wait()
        await caller.leave()

    run(work())


def test_nobody_comes_in_while_a_policy_is_loaded() -> None:
    async def work() -> None:
        admission = Admission(running_max=8, waiting_max=8)
        first, scoring = Caller(admission, 2), Caller(admission, 1, "scoring")
        await first.inside.wait()
        await scoring.inside.wait()
        async with admission.closed():
            second = Caller(admission, 3)
            await scoring.leave()
            await admission.drained("scoring")
            assert (admission.inside_count, admission.outside_count) == (2, 3)
            drained = asyncio.create_task(admission.drained())
            await first.leave()
            await drained
            assert not second.inside.is_set()
        await second.inside.wait()
        await second.leave()

    run(work())


def test_abort_ends_those_inside_with_a_reason_to_come_again() -> None:
    async def work() -> None:
        admission = Admission(running_max=8, waiting_max=8)
        caller = Caller(admission, 2)
        await caller.inside.wait()
        admission.abort()
        await admission.drained()
        with pytest.raises(Unavailable) as caught:
            await caller.task
        assert caught.value.reason == "POLICY_REPLACED"

    run(work())
