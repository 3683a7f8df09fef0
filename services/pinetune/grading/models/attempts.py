"""One try at asking a model: what comes of it, how often it is tried, and how long to wait between tries."""

import hashlib
from dataclasses import dataclass
from typing import Generic, TypeVar

from pinetune.client.rollout import GradeError

T = TypeVar("T")


@dataclass(frozen=True)
class Usage:
    """Tokens that a call used, by the server's account."""

    prompt_tokens: int = 0
    """Tokens read."""
    completion_tokens: int = 0
    """Tokens written."""

    @property
    def total(self) -> int:
        """Both together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Answered(Generic[T]):
    """A usable reply."""

    value: T
    """What was read from it."""
    usage: Usage
    """What it cost."""


class AttemptError(Exception):
    """An attempt without a usable reply; tried again where it is `retryable`."""

    def __init__(
        self,
        error_class: str,
        detail: str,
        *,
        retryable: bool,
        server_alive: bool = True,
        timed_out: bool = False,
        input_fault: bool = False,
        retry_after_seconds: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(detail)
        self.error_class = error_class
        """`MODEL_SERVER`, `MODEL_REFUSAL`, `MODEL_PARSE` or `DEADLINE`."""
        self.detail = detail
        """One sentence, without secrets."""
        self.retryable = retryable
        """True where the same question may be answered when asked again."""
        self.server_alive = server_alive
        """False where the server was not reached, was too slow or failed; such failures open the breaker."""
        self.timed_out = timed_out
        """True where no reply came within the seconds that the attempt had."""
        self.input_fault = input_fault
        """True where the server found the question itself wrong, e.g. too long."""
        self.retry_after_seconds = retry_after_seconds
        """What the server asked to wait; None where it asked for nothing."""
        self.usage = usage or Usage()
        """What the unusable reply cost."""

    @property
    def grade_error(self) -> GradeError:
        """Return it as a grade's error."""
        return GradeError(self.error_class, self.detail, retryable=self.retryable)


def too_late(detail: str) -> AttemptError:
    """Return the error of a question whose time ran out."""
    return AttemptError("DEADLINE", detail, retryable=True)


@dataclass(frozen=True)
class Patience:
    """How often a question is asked, whatever fails: nested retries would reach minutes and hide behind each other."""

    attempts: int = 3
    """Attempts in all."""
    pause_seconds: float = 0.5
    """Pause before the second attempt, doubled for every further one."""
    pause_seconds_max: float = 20.0
    """Longest pause of our own choice."""

    def pause(self, key: bytes, attempt: int, retry_after_seconds: float | None) -> float:
        """Return the seconds to wait after attempt number `attempt`, from 1.

        Half of it is spread by the hash of question and attempt: questions that failed together come back apart, and
        the same question waits as long in every run.
        """
        digest = hashlib.sha256(key + attempt.to_bytes(4, "big")).digest()
        spread = int.from_bytes(digest[:8], "big") / 2**64
        pause = min(self.pause_seconds * 2.0 ** (attempt - 1), self.pause_seconds_max) * (0.5 + 0.5 * spread)
        return pause if retry_after_seconds is None else max(pause, retry_after_seconds)
