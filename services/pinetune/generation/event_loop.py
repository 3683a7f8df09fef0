"""An event loop in a thread of its own, for an engine whose library is asynchronous and whose callers are threads."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from pinetune.pod.errors import Cancelled

# How often one who waits for a result looks whether his caller still does.
LOOK_SECONDS = 0.1
CLOSE_SECONDS = 5.0

T = TypeVar("T")


class EventLoop:
    """Runs coroutines for callers in other threads."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        """The loop; only its own thread may use it."""
        # A daemon: a process that fails must be able to end while the loop waits.
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], waits: Callable[[], bool] | None = None) -> T:
        """Return what the coroutine returns or raise what it raises; called by any thread but the loop's.

        Once `waits` says False the coroutine is cancelled, and when it has ended the error is Cancelled.
        """
        tasks: list[asyncio.Task[Any]] = []

        async def work() -> T:
            task = asyncio.current_task()
            assert task is not None
            tasks.append(task)
            return await coroutine

        future: Future[T] = asyncio.run_coroutine_threadsafe(work(), self.loop)
        left = False
        while True:
            try:
                return future.result(LOOK_SECONDS)
            except TimeoutError:
                if future.done():
                    raise  # The coroutine's own.
            except CancelledError as error:
                raise Cancelled("the caller left while the engine worked for him", reason="CALLER_LEFT") from error
            if not left and waits is not None and tasks and not waits():
                left = True
                # Not the future: it would be over before the task has let go of what it holds.
                self.loop.call_soon_threadsafe(tasks[0].cancel)

    def close(self) -> None:
        """Cancel what still runs and end the thread; one that is held up in a library is left to the process's end."""
        try:
            asyncio.run_coroutine_threadsafe(_cancel_all(), self.loop).result(CLOSE_SECONDS)
        except TimeoutError:
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
