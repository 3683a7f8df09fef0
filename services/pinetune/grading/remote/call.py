"""What is the same for every call that a batch makes to its remote grader."""

import time
from dataclasses import dataclass

from pinetune.client.rollout import Grade, GradeError
from pinetune.grading.remote.endpoints import Endpoint

DETAIL_CHARACTERS_MAX = 500
HIDDEN = "***"


@dataclass(frozen=True)
class RemoteCall:
    """Whom to call, with what, and for how long."""

    endpoint: Endpoint
    """The grader's address."""
    settings_json: str
    """JSON text of the grader's settings, over gRPC its spec; empty for none."""
    timeout_seconds: float
    """Longest wait for one call."""
    deadline: float
    """When the grade is due, on the clock of `time.monotonic`."""
    token: str | None = None
    """What the grader is shown; None for nothing."""
    fresh: bool = False
    """True where answers that were kept from earlier calls do not count."""

    @property
    def left_seconds(self) -> float:
        """Time until the deadline; none or less once it is over."""
        return self.deadline - time.monotonic()

    def without_token(self, words: str) -> str:
        """Cut the token out of a grader's words: some servers repeat it in their errors."""
        return words if self.token is None else words.replace(self.token, HIDDEN)


def failed(detail: str, *, retryable: bool, error_class: str = "REMOTE") -> Grade:
    """Return the grade of a sample that a remote grader did not grade."""
    return Grade(error=GradeError(error_class, detail[:DETAIL_CHARACTERS_MAX], retryable=retryable))


def late(detail: str) -> Grade:
    """Return the grade of a sample whose time ran out."""
    return failed(detail, retryable=True, error_class="DEADLINE")
