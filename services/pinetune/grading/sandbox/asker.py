"""Python graders: the user's `grade(sample, item)`, run where it can do no harm.

`PythonAsker` spreads the samples of a batch over processes (`pool`, `process`) that have locked
themselves up (`worker`). What goes wrong in the source is the error PYTHON_RUNTIME of that sample, what goes
wrong around it PYTHON_SERVER, which is worth another try; what takes too long is killed and DEADLINE.
"""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import JsonValue

from pinetune.client.rollout import Grade, GradeError
from pinetune.grading import graders
from pinetune.grading.asking import Answers, Questions
from pinetune.grading.config import GradingSettings
from pinetune.grading.sandbox import worker as wire
from pinetune.grading.sandbox.pool import ClosedError, NoneFreeError, SandboxPool
from pinetune.grading.sandbox.process import BadSourceError, End, EndedError, Sandbox, UnlockedError
from pinetune.pod.errors import Busy, InvalidInput, Unavailable

TURN_SECONDS = 0.5
"""How long a batch keeps a process while others wait for one; several times what a start takes."""


class PythonAsker:
    """The `Asker` of Python graders. It owns the processes; `close` ends them."""

    def __init__(self, settings: GradingSettings) -> None:
        self._settings = settings
        self._process_count = settings.python_workers or _core_count()
        self._pool = SandboxPool(settings, self._process_count)
        self._threads = ThreadPoolExecutor(max_workers=self._process_count, thread_name_prefix="sandbox")

    def check(self, grader: Mapping[str, JsonValue]) -> None:
        """Run the source up to its `grade`, in a process; raises InvalidInput with line and fault.

        Where this machine cannot lock processes up the kind is refused: nothing runs unlocked. Raises Busy where no
        process was free to look at it, Unavailable where none can be started.
        """
        if fault := graders.lock_down_fault():
            raise _refusal("GRADER_KIND_UNAVAILABLE", "type", f"this machine cannot run Python graders safely: {fault}")
        seconds = self._settings.python_start_timeout_seconds
        deadline = time.monotonic() + seconds
        try:
            sandbox = self._pool.lend(self._source(grader), deadline)
            try:
                answer = sandbox.exchange(wire.CHECK, deadline)
            finally:
                self._pool.give_back(sandbox)
        except BadSourceError as error:
            raise _refusal("GRADER_FIELD_VALUE", "source", str(error)) from None
        except UnlockedError as error:
            raise _refusal("GRADER_KIND_UNAVAILABLE", "type", str(error)) from None
        except EndedError as error:
            detail = f"{error}, looking at it for at most {seconds:g} seconds"
            raise _refusal("GRADER_FIELD_VALUE", "source", detail) from None
        except NoneFreeError as error:
            raise Busy(str(error), reason="SANDBOX_BUSY", retry_after_seconds=seconds) from None
        except (ClosedError, OSError) as error:
            raise Unavailable(str(error), reason="SANDBOX_UNAVAILABLE") from None
        if answer[:1] == wire.FAULT:
            raise _refusal("GRADER_FIELD_VALUE", "source", answer[1:].decode("utf-8", "replace"))

    def ask(self, questions: Questions, *, deadline: float, cancelled: threading.Event) -> Answers:
        """Grade every sample by `deadline`, on the clock of `time.monotonic`; a failure is a grade's error."""
        try:
            batch = _Batch(self._source(questions.grader), questions.bodies, deadline)
        except InvalidInput as error:
            return Answers([_failed("PYTHON_RUNTIME", error.message)] * len(questions.bodies))
        lanes = min(self._process_count, len(questions.bodies)) - 1
        others = [self._threads.submit(self._work, batch) for _ in range(lanes)]
        self._work(batch)
        for other in others:
            # Where every thread is busy with other batches, this one did the work alone.
            if not other.cancel():
                other.result()
        return Answers(batch.grades())

    def close(self) -> None:
        """End every process; samples that are being graded fail with PYTHON_SERVER."""
        self._pool.close()
        self._threads.shutdown()

    def _source(self, grader: Mapping[str, JsonValue]) -> bytes:
        """Return the source as bytes; raises InvalidInput where it is none or too long."""
        text, most = grader.get("source"), self._settings.python_source_bytes_max
        if not isinstance(text, str):
            raise _refusal("GRADER_FIELD_TYPE", "source", "must be a text")
        try:
            source = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise _refusal("GRADER_FIELD_VALUE", "source", f"cannot be written as UTF-8: {error}") from None
        if len(source) > most:
            raise _refusal("GRADER_FIELD_VALUE", "source", f"must have at most {most} bytes, it has {len(source)}")
        return source

    def _work(self, batch: "_Batch") -> None:
        """Grade samples of a batch until there are no more, in one process after the other."""
        sandbox: Sandbox | None = None
        begin = time.monotonic()
        try:
            while (place := batch.take()) is not None:
                if sandbox is not None and (not sandbox.alive or self._must_yield(begin)):
                    self._pool.give_back(sandbox)
                    sandbox = None
                if sandbox is None:
                    sandbox = self._lend(batch, place)
                    begin = time.monotonic()
                if sandbox is not None:
                    batch.put(place, self._grade(sandbox, batch.body(place), batch.deadline))
        finally:
            if sandbox is not None:
                self._pool.give_back(sandbox)

    def _must_yield(self, begin: float) -> bool:
        return self._pool.contended and time.monotonic() - begin > TURN_SECONDS

    def _lend(self, batch: "_Batch", place: int) -> Sandbox | None:
        """Return a process for the batch; where there is none the sample at `place` has its error."""
        try:
            return self._pool.lend(batch.source, batch.deadline)
        except BadSourceError as error:
            batch.fail(place, _failed("PYTHON_RUNTIME", f"source: {error}"), lasting=True)
        except UnlockedError as error:
            batch.fail(place, _failed("PYTHON_SERVER", str(error)), lasting=True)
        except ClosedError as error:
            batch.fail(place, _failed("PYTHON_SERVER", str(error), retryable=True), lasting=True)
        except NoneFreeError as error:
            batch.fail(place, _failed("DEADLINE", str(error), retryable=True))
        except (EndedError, OSError) as error:
            late = isinstance(error, EndedError) and error.reason is End.DEADLINE
            detail = f"the process could not be started: {error}"
            batch.fail(place, _failed("DEADLINE" if late else "PYTHON_SERVER", detail, retryable=True))
        return None

    def _grade(self, sandbox: Sandbox, body: str, batch_deadline: float) -> Grade:
        own_deadline = time.monotonic() + self._settings.python_call_timeout_seconds
        deadline = min(own_deadline, batch_deadline)
        try:
            answer = sandbox.exchange(wire.GRADE + body.encode("utf-8", "surrogatepass"), deadline)
        except EndedError as error:
            return self._grade_of_end(error, own=own_deadline <= batch_deadline)
        except OSError as error:
            return _failed("PYTHON_SERVER", f"the process could not be watched: {error}", retryable=True)
        if answer[:1] == wire.SCORE:
            return Grade(score=wire.DOUBLE.unpack(answer[1:])[0])
        return _failed("PYTHON_RUNTIME", answer[1:].decode("utf-8", "replace"))

    def _grade_of_end(self, error: EndedError, *, own: bool) -> Grade:
        if self._pool.closed:
            return _failed("PYTHON_SERVER", "the service shuts down", retryable=True)
        if error.reason is End.DEADLINE:
            seconds = self._settings.python_call_timeout_seconds
            limit = f"{seconds:g} seconds" if own else "the time that the batch had left"
            return _failed("DEADLINE", f"the grader took longer than {limit}", retryable=not own)
        if error.reason is End.PROTOCOL:
            return _failed("PYTHON_SERVER", str(error), retryable=True)
        return _failed("PYTHON_RUNTIME", str(error))


class _Batch:
    """The samples of a batch, taken one by one by several threads, and their grades."""

    def __init__(self, source: bytes, bodies: Sequence[str], deadline: float) -> None:
        self.source, self.deadline = source, deadline
        self._bodies = bodies
        self._grades: list[Grade | None] = [None] * len(bodies)
        self._places = iter(range(len(bodies)))
        self._taking = threading.Lock()
        self._lasting: Grade | None = None

    def take(self) -> int | None:
        """Return the place of a sample that nobody has taken; None where none is left or no time."""
        with self._taking:
            if self._lasting is not None or time.monotonic() >= self.deadline:
                return None
            return next(self._places, None)

    def body(self, place: int) -> str:
        """Return the question about a sample."""
        return self._bodies[place]

    def put(self, place: int, grade: Grade) -> None:
        """Note a grade."""
        self._grades[place] = grade

    def fail(self, place: int, grade: Grade, *, lasting: bool = False) -> None:
        """Note an error; one that is lasting is that of every sample that is still to be taken."""
        self.put(place, grade)
        if lasting:
            self._lasting = grade

    def grades(self) -> list[Grade]:
        """Return all grades; what was not reached has the error that stopped the batch."""
        left = self._lasting or _failed("DEADLINE", "the batch's time was over before its turn", retryable=True)
        return [grade or left for grade in self._grades]


def _core_count() -> int:
    """Return how many cores this process may use; macOS does not say, and runs no Python graders."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _failed(error_class: str, detail: str, *, retryable: bool = False) -> Grade:
    return Grade(error=GradeError(error_class, detail, retryable))


def _refusal(reason: str, field: str, detail: str) -> InvalidInput:
    return InvalidInput(f"{field}: {detail}", reason=reason, field=field, detail=detail)
