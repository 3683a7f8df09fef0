"""Asks a grader that a team runs behind a URL: one POST a sample, `{"item": …, "sample": …, "settings": …}`.

It answers with status 200 and `{"score": 0.7}`, where it has them with `extracted_answer`, `matched_rank` and
`listed_count`, or with `{"error": "why", "retryable": false}`. Anything else is an error REMOTE, never a score.
"""

import time

import httpx2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pinetune.client.rollout import Grade, GradeError
from pinetune.grading.http_calls import NoReplyError, post_json

REPLY_BYTES_MAX = 1024 * 1024
DETAIL_CHARACTERS_MAX = 500
RETRYABLE_STATUSES = (408, 425, 429)


class _Reply(BaseModel):
    """What a grader may answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    score: float | None = Field(default=None, allow_inf_nan=False)
    error: str | None = None
    retryable: bool = False
    extracted_answer: str = ""
    matched_rank: int = Field(default=0, ge=0, lt=2**31)
    listed_count: int = Field(default=0, ge=0, lt=2**31)


def ask(client: httpx2.Client, url: str, body: bytes, *, timeout_seconds: float, deadline: float) -> Grade:
    """Ask once and return the grade; what fails is its error."""
    left_seconds = deadline - time.monotonic()
    if left_seconds <= 0:
        return _late("the question waited for its turn until the grade's deadline")
    seconds = min(timeout_seconds, left_seconds)
    try:
        reply = post_json(client, url, body, headers={}, seconds=seconds, bytes_max=REPLY_BYTES_MAX)
    except NoReplyError as error:
        if error.timed_out and left_seconds < timeout_seconds:
            return _late("no reply of the remote grader before the grade's deadline")
        return failed(f"remote grader: {error.detail}", retryable=True)
    if reply.status != 200:
        words = reply.body[: 2 * DETAIL_CHARACTERS_MAX].decode("utf-8", "replace").strip()
        retryable = reply.status >= 500 or reply.status in RETRYABLE_STATUSES
        return failed(f"remote grader: status {reply.status}: {words or 'no message'}", retryable=retryable)
    return _read(reply.body)


def failed(detail: str, *, retryable: bool) -> Grade:
    """Return the grade of a sample that a remote grader did not grade."""
    return Grade(error=GradeError("REMOTE", detail[:DETAIL_CHARACTERS_MAX], retryable=retryable))


def _read(body: bytes) -> Grade:
    try:
        reply = _Reply.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the reply"
        return failed(f"remote grader: its reply is unusable: {place}: {fault['msg']}", retryable=False)
    if (reply.score is None) == (reply.error is None):
        return failed("remote grader: its reply needs either score or error", retryable=False)
    if reply.error is not None:
        return failed(f"remote grader: {reply.error or 'an error without words'}", retryable=reply.retryable)
    return Grade(
        score=reply.score,
        extracted_answer=reply.extracted_answer,
        matched_rank=reply.matched_rank,
        listed_count=reply.listed_count,
    )


def _late(detail: str) -> Grade:
    return Grade(error=GradeError("DEADLINE", detail, retryable=True))
