"""The states of a job or an evaluation, and every way from one to another. Nothing else changes a state.

    validating ─► queued ─► running ─► succeeded | failed | cancelled
                    ▲  │       │
                    │  ▼       ▼
                    paused ◄───┘          a paused one is queued again, or cancelled

A worker that died and is started again leaves its job running: the user sees a new attempt, not a new state.
"""

import enum

from pinetune.pod.errors import Conflict


class State(enum.StrEnum):
    """Where a job or an evaluation stands."""

    VALIDATING = "validating"
    """Its files and settings are being checked."""
    QUEUED = "queued"
    """Waits for its turn."""
    RUNNING = "running"
    """Its worker runs."""
    PAUSED = "paused"
    """Stopped with a checkpoint; can be resumed."""
    SUCCEEDED = "succeeded"
    """Done."""
    FAILED = "failed"
    """Ended by a fault."""
    CANCELLED = "cancelled"
    """Ended by a user."""

    @property
    def is_end(self) -> bool:
        """True for the states that nothing leaves."""
        return not TRANSITIONS[self]


class Wish(enum.StrEnum):
    """What the user wants of running work."""

    NONE = ""
    """Go on."""
    CANCEL = "cancel"
    """Stop for good."""
    PAUSE = "pause"
    """Write a checkpoint and stop."""


TRANSITIONS: dict[State, frozenset[State]] = {
    State.VALIDATING: frozenset({State.QUEUED, State.FAILED, State.CANCELLED}),
    State.QUEUED: frozenset({State.RUNNING, State.PAUSED, State.FAILED, State.CANCELLED}),
    State.RUNNING: frozenset({State.PAUSED, State.SUCCEEDED, State.FAILED, State.CANCELLED}),
    State.PAUSED: frozenset({State.QUEUED, State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""Where each state may lead."""


def check_transition(work_id: str, old: State, new: State) -> None:
    """Raise Conflict STATE_FORBIDS where `new` cannot follow `old`."""
    if new not in TRANSITIONS[old]:
        allowed = ", ".join(sorted(TRANSITIONS[old])) or "nothing: it has ended"
        raise Conflict(
            f"{work_id} is {old} and cannot become {new}; from there it can become {allowed}",
            reason="STATE_FORBIDS",
            work_id=work_id,
            state=str(old),
            wanted=str(new),
        )
