"""A model that many calls ask at once: how questions wait, are tried again, cost, and are answered once.

    submit ─► kept answer? ─► same question under way? ─► queue ─► thread of the model ─► breaker, budget, attempt

A model has `concurrency` threads, which bounds the questions at once; a pause between attempts keeps its thread, so
that a server that asks for patience gets it. What nobody waits for any more is taken from the queue. Nothing here knows
what a question is: judges and embeddings use it alike.
"""

import contextvars
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeAlias, TypeVar

from pinetune.grading import metrics
from pinetune.grading.models.answer_cache import AnswerCache
from pinetune.grading.models.attempts import Answered, AttemptError, Patience, Usage, too_late
from pinetune.grading.models.breaker import Breaker
from pinetune.grading.models.budget import Budget
from pinetune.grading.models.flight import Flight
from pinetune.grading.models.settings import ModelSettings

T = TypeVar("T")
Attempt: TypeAlias = Callable[[float], Answered[T]]
"""Asks once within the seconds given; raises AttemptError."""


class AskedModel(Generic[T]):
    """One model, by the name that metrics and errors call it."""

    def __init__(
        self,
        name: str,
        settings: ModelSettings,
        patience: Patience,
        breaker: Breaker,
        *,
        pause: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self.name = name
        self._timeout_seconds = settings.timeout_seconds
        self._patience = patience
        self._breaker = breaker
        self._budget = Budget(settings.request_budget, settings.token_budget)
        self._is_closing = False
        self._pause = pause
        self._pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix=f"model-{name}")
        self._lock = threading.Lock()
        self._cache: AnswerCache[T] = AnswerCache(settings.cache_entries)
        self._flights: dict[bytes, Flight[T]] = {}
        metrics.MODEL_BREAKER_OPEN.labels(name).set(0)

    def submit(
        self, key: bytes, attempt: Attempt[T], *, deadline: float, keep: bool = True, anew_for: bytes = b""
    ) -> Flight[T]:
        """Have a question answered; `key` is the hash of all that it says. Its answer is kept unless told otherwise.

        Where `anew_for` names a call, only equal questions of that call share an answer: none that was kept counts, and
        none is kept. Whoever submits ends with `outcomes`.
        """
        flight_key = anew_for + key
        with self._lock:
            if self._is_closing:
                return self._settled(deadline, self._closed())
            if not anew_for and (answer := self._cache.get(key)) is not None:
                metrics.MODEL_CACHE_HITS.labels(self.name).inc()
                return self._settled(deadline, answer)
            if (flight := self._flights.get(flight_key)) is not None:
                metrics.MODEL_CACHE_HITS.labels(self.name).inc()
                flight.deadline = max(flight.deadline, deadline)
                flight.waiting += 1
                flight.over.clear()
                return flight
            flight = self._flights[flight_key] = Flight(flight_key, deadline)
            flight.is_queued = True
            metrics.MODEL_WAITING.labels(self.name).inc()
            # The copied context carries the trace of the call that asks.
            context = contextvars.copy_context()
            self._pool.submit(context.run, self._fly, key, flight, attempt, keep and not anew_for)
        return flight

    def outcomes(
        self, flights: Sequence[Flight[T]], *, deadline: float, cancelled: threading.Event
    ) -> list[T | AttemptError]:
        """Return what each submitted question came to, at `deadline` or once `cancelled` is set at the latest.

        Nobody is asked, or asked again, for what the caller does not wait for any more, unless another call does.
        """
        try:
            return [flight.wait(deadline, cancelled) for flight in flights]
        finally:
            with self._lock:
                for flight in flights:
                    self._leave(flight)

    def close(self) -> None:
        """Fail what is under way and take nothing more."""
        with self._lock:
            self._is_closing = True
            for flight in self._flights.values():
                self._leave_queue(flight)
                flight.over.set()
                flight.settle(self._closed())
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _settled(self, deadline: float, outcome: T | AttemptError) -> Flight[T]:
        flight: Flight[T] = Flight(b"", deadline)
        flight.settle(outcome)
        return flight

    def _closed(self) -> AttemptError:
        return AttemptError("MODEL_SERVER", f"model {self.name}: the grading service is stopping", retryable=True)

    def _leave(self, flight: Flight[T]) -> None:
        """Let one who waits go."""
        flight.waiting -= 1
        if not flight.waiting:
            flight.over.set()
            if flight.is_queued:
                self._leave_queue(flight)
                self._forget(flight)

    def _leave_queue(self, flight: Flight[T]) -> None:
        if flight.is_queued:
            flight.is_queued = False
            metrics.MODEL_WAITING.labels(self.name).dec()

    def _forget(self, flight: Flight[T]) -> None:
        """Let the same question be asked again; it may be under way again already."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    def _is_over(self, flight: Flight[T]) -> bool:
        """Say whether no further attempt is to be made; then nobody joins the flight any more."""
        with self._lock:
            if flight.waiting and not self._is_closing:
                return False
            self._forget(flight)
            return True

    def _fly(self, key: bytes, flight: Flight[T], attempt: Attempt[T], keep: bool) -> None:
        with self._lock:
            if not flight.is_queued:
                return
            self._leave_queue(flight)
        try:
            outcome = self._try_repeatedly(key, flight, attempt)
        except BaseException as error:  # Whoever waits raises it; a thread of a pool would only swallow it.
            with self._lock:
                self._forget(flight)
            flight.fail(error)
            return
        with self._lock:
            # Kept before the flight ends, so that there is no moment in which the same question is asked again.
            if keep and not isinstance(outcome, AttemptError):
                self._cache.put(key, outcome)
            self._forget(flight)
        flight.settle(outcome)

    def _try_repeatedly(self, key: bytes, flight: Flight[T], attempt: Attempt[T]) -> T | AttemptError:
        for number in range(1, self._patience.attempts + 1):
            try:
                return self._try_once(flight, attempt)
            except AttemptError as error:
                pause = self._patience.pause(key, number, error.retry_after_seconds)
                over = number == self._patience.attempts or flight.deadline - time.monotonic() <= pause
                if not error.retryable or over or self._breaker.is_open:
                    return error
                self._pause(flight.over, pause)
                if self._is_over(flight):
                    return error
        raise AssertionError("the last attempt returns")

    def _try_once(self, flight: Flight[T], attempt: Attempt[T]) -> T:
        left_seconds = flight.deadline - time.monotonic()
        if left_seconds <= 0:
            raise too_late(f"model {self.name}: the question waited for its turn until the grade's deadline")
        admission = self._admit()
        alive: bool | None = None
        try:
            with metrics.MODEL_CALL_TIME.labels(self.name).time():
                answered = attempt(min(left_seconds, self._timeout_seconds))
            alive = True
        except AttemptError as error:
            self._spend(flight, error.usage)
            if error.timed_out and left_seconds < self._timeout_seconds:
                # Cut off by the grade's deadline, which says nothing about the server.
                error = too_late(f"model {self.name}: no reply before the grade's deadline")
            else:
                alive = error.server_alive
            metrics.MODEL_CALLS.labels(self.name, error.error_class.lower()).inc()
            raise error from None
        finally:
            self._breaker.note(admission, alive)
            metrics.MODEL_BREAKER_OPEN.labels(self.name).set(self._breaker.is_open)
        self._spend(flight, answered.usage)
        metrics.MODEL_CALLS.labels(self.name, metrics.ANSWERED).inc()
        return answered.value

    def _admit(self) -> int:
        admission = self._breaker.admit()
        if admission is None:
            detail = f"model {self.name} is not asked: its server failed several times in a row and is left alone"
            raise AttemptError("MODEL_SERVER", detail, retryable=True)
        if spent := self._budget.take_request():
            self._breaker.note(admission, None)
            raise AttemptError("MODEL_SERVER", f"model {self.name} is not asked: {spent}", retryable=False)
        return admission

    def _spend(self, flight: Flight[T], usage: Usage) -> None:
        self._budget.add_tokens(usage.total)
        flight.add_tokens(usage.total)
        metrics.MODEL_TOKENS.labels(self.name, "prompt").inc(usage.prompt_tokens)
        metrics.MODEL_TOKENS.labels(self.name, "completion").inc(usage.completion_tokens)
