"""Asks a grader that a team runs behind a URL: one POST a sample, `{"item": …, "sample": …, "settings": …}`.

It answers with status 200 and `{"score": 0.7}`, where it has them with `extracted_answer`, `matched_rank` and
`listed_count`, or with `{"error": "why", "retryable": false, "class": "REMOTE"}`, where the class may be TRUNCATED or
TOO_LARGE as well. Anything else is an error REMOTE, never a score; status 413 is TOO_LARGE.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pinetune.client.rollout import Grade
from pinetune.grading.http_calls import HttpCaller, HttpReply, NoReplyError
from pinetune.grading.remote.call import RemoteCall, failed, late
from pinetune.grading.remote.question import UnsendableError, with_settings
from pinetune.pod import tokens

REPLY_BYTES_MAX = 1024 * 1024
TOO_LARGE_STATUS = 413
RETRYABLE_STATUSES = (408, 425, 429)


class _Reply(BaseModel):
    """What a grader may answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    score: float | None = Field(default=None, allow_inf_nan=False)
    error: str | None = None
    retryable: bool = False
    error_class: Literal["REMOTE", "TRUNCATED", "TOO_LARGE"] = Field(default="REMOTE", alias="class")
    extracted_answer: str = ""
    matched_rank: int = Field(default=0, ge=0, lt=2**31)
    listed_count: int = Field(default=0, ge=0, lt=2**31)


def ask(caller: HttpCaller, call: RemoteCall, body: str) -> Grade:
    """Ask once and return the grade; what fails is its error."""
    left_seconds = call.left_seconds
    if left_seconds <= 0:
        return late("the question waited for its turn until the grade's deadline")
    headers = {} if call.token is None else dict([tokens.shown(call.token)])
    try:
        content = with_settings(body, call.settings_json)
        reply = caller.post_json(
            call.endpoint.text,
            content,
            headers=headers,
            seconds=min(call.timeout_seconds, left_seconds),
            bytes_max=REPLY_BYTES_MAX,
        )
    except UnsendableError as error:
        return failed(f"remote grader: {error}", retryable=False)
    except NoReplyError as error:
        if error.timed_out and left_seconds < call.timeout_seconds:
            return late("no reply of the remote grader before the grade's deadline")
        return failed(f"remote grader at {call.endpoint.shown}: {error.detail}", retryable=True)
    return _read(reply.body, call) if reply.status == 200 else _refused(reply, call)


def _refused(reply: HttpReply, call: RemoteCall) -> Grade:
    words = call.without_token(reply.body.decode("utf-8", "replace")).strip()
    return failed(
        f"remote grader at {call.endpoint.shown}: status {reply.status}: {words or 'no message'}",
        retryable=reply.status >= 500 or reply.status in RETRYABLE_STATUSES,
        error_class="TOO_LARGE" if reply.status == TOO_LARGE_STATUS else "REMOTE",
    )


def _read(body: bytes, call: RemoteCall) -> Grade:
    try:
        reply = _Reply.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the reply"
        return failed(f"remote grader: its reply is unusable: {place}: {fault['msg']}", retryable=False)
    if (reply.score is None) == (reply.error is None):
        return failed("remote grader: its reply needs either score or error", retryable=False)
    if reply.error is not None:
        words = call.without_token(reply.error) or "an error without words"
        return failed(f"remote grader: {words}", retryable=reply.retryable, error_class=reply.error_class)
    return Grade(
        score=reply.score,
        extracted_answer=reply.extracted_answer,
        matched_rank=reply.matched_rank,
        listed_count=reply.listed_count,
    )
