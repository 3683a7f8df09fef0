import asyncio
import threading
from collections.abc import Iterator

import pytest

from pinetune.generation.event_loop import EventLoop
from pinetune.pod.errors import Cancelled


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    loop = EventLoop("test")
    yield loop
    loop.close()


def test_a_thread_gets_what_a_coroutine_returns_or_raises(loop: EventLoop) -> None:
    async def answer() -> str:
        await asyncio.sleep(0.15)
        return threading.current_thread().name

    async def fail() -> None:
        raise TimeoutError("its own")

    assert loop.run(answer(), lambda: True) == "test"
    with pytest.raises(TimeoutError, match="its own"):
        loop.run(fail())


def test_a_caller_who_leaves_has_his_coroutine_ended_first(loop: EventLoop) -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.2)
            ended.append(True)

    with pytest.raises(Cancelled):
        loop.run(work(), lambda: False)
    assert ended


def test_closing_ends_what_still_runs(loop: EventLoop) -> None:
    other = EventLoop("other")
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            other.run(asyncio.sleep(60))
        except Cancelled as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not other.run(count_tasks()):
        assert thread.is_alive()
    other.close()
    thread.join(10)
    assert len(errors) == 1


async def count_tasks() -> int:
    return len(asyncio.all_tasks()) - 1
