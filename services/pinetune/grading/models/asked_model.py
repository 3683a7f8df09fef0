"""A model that many calls ask at once: how questions wait, are tried again, cost, and are answered once.

    submit ─► kept answer? ─► same question under way? ─► queue ─► thread of the model ─► breaker, budget, attempt

A model has `concurrency` threads, which bounds the questions at once; a pause between attempts keeps its thread, so
that a server that asks for patience gets it. Nothing here knows what a question is: judges and embeddings use it alike.
"""

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Generic, TypeAlias, TypeVar

from pinetune.grading import metrics
from pinetune.grading.models.answer_cache import AnswerCache
from pinetune.grading.models.attempts import Answered, AttemptError, Patience, Usage, too_late
from pinetune.grading.models.breaker import Breaker
from pinetune.grading.models.budget import Budget
from pinetune.grading.models.settings import ModelSettings

T = TypeVar("T")
Attempt: TypeAlias = Callable[[float], Answered[T]]
"""Asks once within the seconds given; raises AttemptError."""


class Flight(Generic[T]):
    """A question under way; all who ask it meanwhile wait for the same one."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        """The latest deadline of all who wait."""
        self.is_queued = False
        """True until a thread of the model takes it up."""
        self._outcome: Future[T | AttemptError] = Future()
        self._tokens = 0
        self._lock = threading.Lock()

    def settle(self, outcome: T | AttemptError) -> None:
        """Let those who wait have the outcome; the first one counts."""
        with contextlib.suppress(InvalidStateError):
            self._outcome.set_result(outcome)

    def fail(self, error: BaseException) -> None:
        """Raise a fault of ours in those who wait."""
        with contextlib.suppress(InvalidStateError):
            self._outcome.set_exception(error)

    def wait(self, deadline: float) -> T | AttemptError:
        """Return the answer or why there is none, at `deadline` at the latest."""
        try:
            return self._outcome.result(max(0.0, deadline - time.monotonic()))
        except FutureTimeout:
            return too_late("no answer of the model before the grade's deadline")

    def add_tokens(self, count: int) -> None:
        """Count tokens that an attempt used."""
        with self._lock:
            self._tokens += count

    def take_tokens(self) -> int:
        """Return the tokens counted since this was called last, so that only one of those who wait reports them."""
        with self._lock:
            count, self._tokens = self._tokens, 0
            return count


class AskedModel(Generic[T]):
    """One model, by the name that metrics and errors call it."""

    def __init__(
        self,
        name: str,
        settings: ModelSettings,
        patience: Patience,
        breaker: Breaker,
        *,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self.name = name
        self._timeout_seconds = settings.timeout_seconds
        self._patience = patience
        self._breaker = breaker
        self._budget = Budget(settings.request_budget, settings.token_budget)
        self._closing = threading.Event()
        self._pause = pause or self._closing.wait
        self._pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix=f"model-{name}")
        self._lock = threading.Lock()
        self._cache: AnswerCache[T] = AnswerCache(settings.cache_entries)
        self._flights: dict[bytes, Flight[T]] = {}
        metrics.JUDGE_BREAKER_OPEN.labels(name).set(0)

    def submit(self, key: bytes, attempt: Attempt[T], *, deadline: float, keep: bool = True) -> Flight[T]:
        """Have a question answered; `key` is the hash of all that it says. Its answer is kept unless told otherwise."""
        with self._lock:
            if self._closing.is_set():
                return self._settled(deadline, self._closed())
            if (answer := self._cache.get(key)) is not None:
                metrics.JUDGE_CACHE_HITS.labels(self.name).inc()
                return self._settled(deadline, answer)
            if (flight := self._flights.get(key)) is not None:
                metrics.JUDGE_CACHE_HITS.labels(self.name).inc()
                flight.deadline = max(flight.deadline, deadline)
                return flight
            flight = self._flights[key] = Flight(deadline)
            flight.is_queued = True
            metrics.JUDGE_WAITING.labels(self.name).inc()
            # The copied context carries the trace of the call that asks.
            context = contextvars.copy_context()
            self._pool.submit(context.run, self._fly, key, flight, attempt, keep)
        return flight

    def close(self) -> None:
        """Fail what is under way and take nothing more."""
        with self._lock:
            self._closing.set()
            for flight in self._flights.values():
                self._leave_queue(flight)
                flight.settle(self._closed())
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _settled(self, deadline: float, outcome: T | AttemptError) -> Flight[T]:
        flight: Flight[T] = Flight(deadline)
        flight.settle(outcome)
        return flight

    def _closed(self) -> AttemptError:
        return AttemptError("MODEL_SERVER", f"model {self.name}: the grading service is stopping", retryable=True)

    def _leave_queue(self, flight: Flight[T]) -> None:
        if flight.is_queued:
            flight.is_queued = False
            metrics.JUDGE_WAITING.labels(self.name).dec()

    def _fly(self, key: bytes, flight: Flight[T], attempt: Attempt[T], keep: bool) -> None:
        with self._lock:
            self._leave_queue(flight)
        try:
            outcome = self._try_repeatedly(key, flight, attempt)
        except BaseException as error:  # Whoever waits raises it; a thread of a pool would only swallow it.
            with self._lock:
                del self._flights[key]
            flight.fail(error)
            return
        with self._lock:
            # Kept before the flight ends, so that there is no moment in which the same question is asked again.
            if keep and not isinstance(outcome, AttemptError):
                self._cache.put(key, outcome)
            del self._flights[key]
        flight.settle(outcome)

    def _try_repeatedly(self, key: bytes, flight: Flight[T], attempt: Attempt[T]) -> T | AttemptError:
        for number in range(1, self._patience.attempts + 1):
            try:
                return self._try_once(flight, attempt)
            except AttemptError as error:
                pause = self._patience.pause(key, number, error.retry_after_seconds)
                over = number == self._patience.attempts or flight.deadline - time.monotonic() <= pause
                if not error.retryable or over or self._breaker.is_open or self._closing.is_set():
                    return error
            self._pause(pause)
        raise AssertionError("the last attempt returns")

    def _try_once(self, flight: Flight[T], attempt: Attempt[T]) -> T:
        left_seconds = flight.deadline - time.monotonic()
        if left_seconds <= 0:
            raise too_late(f"model {self.name}: the question waited for its turn until the grade's deadline")
        self._admit()
        alive: bool | None = None
        try:
            with metrics.JUDGE_CALL_TIME.labels(self.name).time():
                answered = attempt(min(left_seconds, self._timeout_seconds))
            alive = True
        except AttemptError as error:
            self._spend(flight, error.usage)
            if error.timed_out and left_seconds < self._timeout_seconds:
                # Cut off by the grade's deadline, which says nothing about the server.
                error = too_late(f"model {self.name}: no reply before the grade's deadline")
            else:
                alive = error.server_alive
            metrics.JUDGE_CALLS.labels(self.name, error.error_class.lower()).inc()
            raise error from None
        finally:
            self._breaker.note(alive)
            metrics.JUDGE_BREAKER_OPEN.labels(self.name).set(self._breaker.is_open)
        self._spend(flight, answered.usage)
        metrics.JUDGE_CALLS.labels(self.name, metrics.ANSWERED).inc()
        return answered.value

    def _admit(self) -> None:
        if not self._breaker.admit():
            detail = f"model {self.name} is not asked: its server failed several times in a row and is left alone"
            raise AttemptError("MODEL_SERVER", detail, retryable=True)
        if spent := self._budget.take_request():
            self._breaker.note(None)
            raise AttemptError("MODEL_SERVER", f"model {self.name} is not asked: {spent}", retryable=False)

    def _spend(self, flight: Flight[T], usage: Usage) -> None:
        self._budget.add_tokens(usage.total)
        flight.add_tokens(usage.total)
        metrics.JUDGE_TOKENS.labels(self.name, "prompt").inc(usage.prompt_tokens)
        metrics.JUDGE_TOKENS.labels(self.name, "completion").inc(usage.completion_tokens)
