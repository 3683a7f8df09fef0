"""Which job, step and call the running code works for; carried in call metadata and shown in every log line.

A caller says `with within(job=..., step=...)`; the channel sends it along, the interceptor of the called pod takes it
up, and the log lines of both carry the same words. Lives in context variables: a thread started by hand begins
without, unless what it calls is `carried`.
"""

import contextlib
import contextvars
import dataclasses
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
JOB_KEY, STEP_KEY, CALL_KEY = "x-pinetune-job", "x-pinetune-step", "x-pinetune-call"
# Metadata comes from outside; a longer value would only bloat the log.
VALUE_CHARACTERS_MAX = 80


@dataclass(frozen=True)
class Trace:
    """What the running code works for; empty texts where it is not known."""

    job: str = ""
    """Id of the job."""
    step: str = ""
    """Number of the step inside the job."""
    call: str = ""
    """Id of the call that started it all: handed on from pod to pod and kept over retries."""

    def to_metadata(self) -> list[tuple[str, str]]:
        """Return the call metadata that hands this trace on; empty parts are left out."""
        pairs = [(JOB_KEY, self.job), (STEP_KEY, self.step), (CALL_KEY, self.call)]
        return [(key, value) for key, value in pairs if value]


_current: contextvars.ContextVar[Trace] = contextvars.ContextVar("pinetune_trace", default=Trace())  # noqa: B039  frozen


def current() -> Trace:
    """Return the trace of the running code."""
    return _current.get()


def new_call_id() -> str:
    """Return a fresh call id: 16 hexadecimal digits."""
    return uuid.uuid4().hex[:16]


def from_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> Trace:
    """Read the trace that a call brought along; a call without an id gets a fresh one."""
    found = {key: value[:VALUE_CHARACTERS_MAX] for key, value in metadata if isinstance(value, str)}
    return Trace(found.get(JOB_KEY, ""), found.get(STEP_KEY, ""), found.get(CALL_KEY) or new_call_id())


def enter(trace: Trace) -> None:
    """Make `trace` current until this context ends; for code that owns its context, as a gRPC handler does."""
    _current.set(trace)


@contextlib.contextmanager
def within(*, job: str | None = None, step: int | None = None) -> Iterator[Trace]:
    """Make job and step current inside the block; what is not given stays as it was."""
    trace = current()
    if job is not None:
        trace = dataclasses.replace(trace, job=job)
    if step is not None:
        trace = dataclasses.replace(trace, step=str(step))
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` such that threads of a pool call it within the trace that is current now."""
    context = contextvars.copy_context()

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        # A copy each: several threads may be at it, and a context is entered by one at a time.
        return context.copy().run(function, *args, **kwargs)

    return call
