"""Python graders: the user's `grade(sample, item)`, run where it can do no harm.

`PythonAsker` spreads the samples of a batch over processes (`pool`, `process`) that have locked themselves up
(`worker`). What goes wrong in the source is the error PYTHON_RUNTIME of that sample, what goes wrong around it
PYTHON_SERVER, which is worth another try; what takes too long is killed and DEADLINE.
"""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from pydantic import JsonValue

from pinetune.client.rollout import Grade
from pinetune.grading import graders
from pinetune.grading.asking import Answers, Questions
from pinetune.grading.config import GradingSettings
from pinetune.grading.refusals import refusal
from pinetune.grading.sandbox import wire
from pinetune.grading.sandbox.batch import Batch, failed
from pinetune.grading.sandbox.cores import core_count
from pinetune.grading.sandbox.limits import hinted, named
from pinetune.grading.sandbox.pool import ClosedError, NoneFreeError, SandboxPool
from pinetune.grading.sandbox.process import BadSourceError, End, EndedError, Sandbox, UnlockedError
from pinetune.pod.errors import Busy, InvalidInput, TimedOut, Unavailable

SHUTS_DOWN = "the service shuts down"
TURN_SECONDS = 0.5
"""How long a batch keeps a process while others wait for one; several times what a start takes."""


class PythonAsker:
    """The `Asker` of Python graders. It owns the processes; `close` ends them."""

    def __init__(self, settings: GradingSettings) -> None:
        self._settings = settings
        self._process_count = settings.python_workers or core_count()
        self._pool = SandboxPool(settings, self._process_count)
        self._lockable = False
        self._threads = ThreadPoolExecutor(max_workers=self._process_count, thread_name_prefix="sandbox")

    def check(self, grader: Mapping[str, JsonValue]) -> None:
        """Run the source up to its `grade`, in a process; raises InvalidInput with line and fault.

        Where this machine cannot lock processes up the kind is refused: nothing runs unlocked. Whatever the source is
        not known to be at fault for is worth another try: Busy where no process was free to look at it, Unavailable
        where one could not be started or was killed, TimedOut where it did not come to an end in time. The last is no
        Unavailable, which a channel repeats by itself: the caller's time would be over before the answer comes.
        """
        self._refuse_unlockable()
        seconds = self._settings.python_start_timeout_seconds
        source, until = self._source(grader), time.monotonic() + seconds
        try:
            sandbox = self._pool.lend(source, until)
            try:
                answer = sandbox.exchange(wire.CHECK, until)
            finally:
                self._pool.give_back(sandbox)
        except BadSourceError as error:
            raise refusal("source", hinted(self._settings, str(error)), reason="GRADER_FIELD_VALUE") from None
        except UnlockedError as error:
            raise refusal("type", str(error), reason="GRADER_KIND_UNAVAILABLE") from None
        except NoneFreeError as error:
            raise Busy(str(error), reason="SANDBOX_BUSY", retry_after_seconds=seconds) from None
        except (ClosedError, EndedError, OSError) as error:
            raise self._unlooked(error) from None
        detail = hinted(self._settings, answer[1:].decode("utf-8", "replace"))
        if answer[:1] == wire.NO_MEMORY:
            raise Unavailable(f"source: {detail}", reason="SANDBOX_UNAVAILABLE", field="source")
        if answer[:1] == wire.FAULT:
            raise refusal("source", detail, reason="GRADER_FIELD_VALUE")

    def ask(self, questions: Questions, *, deadline: float, cancelled: threading.Event) -> Answers:
        """Grade every sample by `deadline`, on the clock of `time.monotonic`; a failure is a grade's error.

        Once `cancelled` is set no sample is begun, and those that are being graded are ended. Raises InvalidInput where
        this machine cannot lock processes up.
        """
        self._refuse_unlockable()
        try:
            batch = Batch(self._source(questions.grader), questions.bodies, deadline, cancelled)
        except InvalidInput as error:
            return Answers([failed("PYTHON_RUNTIME", error.message)] * len(questions.bodies))
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

    def _refuse_unlockable(self) -> None:
        """Raise InvalidInput where this machine cannot lock processes up; a machine that can is asked once."""
        if not self._lockable:
            if fault := graders.lock_down_fault():
                detail = f"this machine cannot run Python graders safely: {fault}"
                raise refusal("type", detail, reason="GRADER_KIND_UNAVAILABLE")
            self._lockable = True

    def _unlooked(self, error: Exception) -> Unavailable | TimedOut:
        """Return why a source could not be looked at."""
        if self._pool.closed:
            return Unavailable(SHUTS_DOWN, reason="SANDBOX_UNAVAILABLE")
        if isinstance(error, EndedError) and error.reason is End.DEADLINE:
            limit = named(self._settings, "python_start_timeout_seconds")
            detail = f"source: it was not read, and run up to its grade, in time; {limit}"
            return TimedOut(detail, reason="SANDBOX_UNAVAILABLE", field="source")
        return Unavailable(f"source: {error}", reason="SANDBOX_UNAVAILABLE", field="source")

    def _source(self, grader: Mapping[str, JsonValue]) -> bytes:
        """Return the source as bytes; raises InvalidInput where it is none or too long."""
        text, most = grader.get("source"), self._settings.python_source_bytes_max
        if not isinstance(text, str):
            raise refusal("source", "must be a text", reason="GRADER_FIELD_TYPE")
        try:
            source = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise refusal("source", f"cannot be written as UTF-8: {error}", reason="GRADER_FIELD_VALUE") from None
        if len(source) > most:
            detail = f"must have at most {most} bytes, it has {len(source)}"
            raise refusal("source", detail, reason="GRADER_FIELD_VALUE")
        return source

    def _work(self, batch: Batch) -> None:
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
                    batch.put(place, self._grade(sandbox, batch.body(place), batch))
        finally:
            if sandbox is not None:
                self._pool.give_back(sandbox)

    def _must_yield(self, begin: float) -> bool:
        return self._pool.contended and time.monotonic() - begin > TURN_SECONDS

    def _lend(self, batch: Batch, place: int) -> Sandbox | None:
        """Return a process for the batch; where there is none the sample at `place` has its error."""
        try:
            return self._pool.lend(batch.source, batch.deadline, batch.cancelled)
        except BadSourceError as error:
            batch.fail(place, failed("PYTHON_RUNTIME", f"source: {error}"), lasting=True)
        except UnlockedError as error:
            batch.fail(place, failed("PYTHON_SERVER", str(error)), lasting=True)
        except ClosedError as error:
            batch.fail(place, failed("PYTHON_SERVER", str(error), retryable=True), lasting=True)
        except NoneFreeError as error:
            batch.fail(place, failed("DEADLINE", str(error), retryable=True))
        except (EndedError, OSError) as error:
            late = isinstance(error, EndedError) and error.reason is End.DEADLINE
            hint = f"; {named(self._settings, 'python_start_timeout_seconds')}" if late else ""
            detail = f"the process could not be started: {error}{hint}"
            batch.fail(place, failed("DEADLINE" if late else "PYTHON_SERVER", detail, retryable=True))
        return None

    def _grade(self, sandbox: Sandbox, body: str, batch: Batch) -> Grade:
        own_deadline = time.monotonic() + self._settings.python_call_timeout_seconds
        deadline = min(own_deadline, batch.deadline)
        try:
            question = wire.GRADE + body.encode("utf-8", "surrogatepass")
            answer = sandbox.exchange(question, deadline, batch.cancelled)
        except EndedError as error:
            return self._grade_of_end(error, own=own_deadline <= batch.deadline)
        except OSError as error:
            return failed("PYTHON_SERVER", f"the process could not be watched: {error}", retryable=True)
        if answer[:1] == wire.SCORE:
            return Grade(score=wire.DOUBLE.unpack(answer[1:])[0])
        return failed("PYTHON_RUNTIME", hinted(self._settings, answer[1:].decode("utf-8", "replace")))

    def _grade_of_end(self, error: EndedError, *, own: bool) -> Grade:
        if self._pool.closed:
            return failed("PYTHON_SERVER", SHUTS_DOWN, retryable=True)
        if error.reason is End.CANCELLED:
            return failed("DEADLINE", str(error), retryable=True)
        if error.reason is End.DEADLINE:
            seconds = self._settings.python_call_timeout_seconds
            limit = f"{seconds:g} seconds" if own else "the time that the batch had left"
            hint = f"; {named(self._settings, 'python_call_timeout_seconds')}" if own else ""
            return failed("DEADLINE", f"the grader took longer than {limit}{hint}", retryable=not own)
        if error.reason is End.PROTOCOL:
            return failed("PYTHON_SERVER", str(error), retryable=True)
        return failed("PYTHON_RUNTIME", str(error))
