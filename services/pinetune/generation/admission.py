"""Who may use an engine that serves many callers at once: everybody, until too many wait or a policy is loaded.

Used inside one event loop; nothing here is for threads.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from pinetune.generation import metrics
from pinetune.pod.errors import Busy, Unavailable

RETRY_SECONDS = 1.0

Kind = Literal["sampling", "shaped sampling", "scoring"]
"""What a call does; `shaped sampling` ends with scoring, since its answers have a given shape."""


class Call:
    """One caller's use of the engine."""

    def __init__(self, kind: Kind, count: int) -> None:
        self.kind = kind
        self.count = count
        """Its completions or sequences that have not ended."""
        self.task = asyncio.current_task()
        self.replaced = False
        """Whether it is to end because another policy is loaded."""


class Admission:
    """Lets calls in, holds them while a policy is loaded, and refuses them once too much waits."""

    def __init__(self, running_max: int, waiting_max: int) -> None:
        self._running_max = running_max
        self._waiting_max = waiting_max
        self._inside: set[Call] = set()
        self._outside: list[int] = []
        self._open = True
        self._changed = asyncio.Condition()

    @property
    def inside_count(self) -> int:
        """Completions and sequences that were given to the engine and have not ended."""
        return sum(call.count for call in self._inside)

    @property
    def outside_count(self) -> int:
        """Those that wait for a policy to be loaded."""
        return sum(self._outside)

    @asynccontextmanager
    async def enter(self, kind: Kind, count: int) -> AsyncIterator[Call]:
        """Wait until no policy is being loaded and be a call inside the block.

        Raises Busy where too much waits already, Unavailable POLICY_REPLACED where `abort` ended the block.
        """
        self._refuse_too_much(count)
        self._outside.append(count)
        self._show()
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self._open)
        finally:
            self._outside.remove(count)
            self._show()
        call = Call(kind, count)
        self._inside.add(call)
        self._show()
        try:
            yield call
        except asyncio.CancelledError:
            if not call.replaced:
                raise
            raise Unavailable(
                "another policy was loaded and the caller of LoadPolicy chose in_flight abort; repeat the call",
                reason="POLICY_REPLACED",
                retry_after_seconds=RETRY_SECONDS,
            ) from None
        finally:
            self._inside.discard(call)
            self._show()
            async with self._changed:
                self._changed.notify_all()

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Let nobody in during the block; who is inside stays."""
        self._open = False
        try:
            yield
        finally:
            self._open = True
            async with self._changed:
                self._changed.notify_all()

    async def drained(self, *kinds: Kind) -> None:
        """Wait until no call is inside, or none of these kinds."""
        async with self._changed:
            await self._changed.wait_for(lambda: not any(not kinds or call.kind in kinds for call in self._inside))

    def abort(self) -> None:
        """End all calls inside with Unavailable POLICY_REPLACED."""
        for call in self._inside:
            call.replaced = True
            if call.task is not None:
                call.task.cancel()

    def _refuse_too_much(self, count: int) -> None:
        unfinished = self.inside_count + self.outside_count
        limit = self._running_max + self._waiting_max
        # A call that is larger than the limit by itself is served where there is no other.
        if unfinished and unfinished + count > limit:
            raise Busy(
                f"{unfinished} completions are unfinished and {count} more would pass the {limit} that the engine "
                "takes; repeat the call later, start more replicas or raise "
                "PINETUNE_GENERATION_WAITING_COMPLETIONS_MAX",
                reason="ENGINE_BUSY",
                retry_after_seconds=RETRY_SECONDS,
                limit=limit,
                given=unfinished + count,
            )

    def _show(self) -> None:
        metrics.REQUESTS_RUNNING.set(len(self._inside))
        metrics.REQUESTS_WAITING.set(len(self._outside))
