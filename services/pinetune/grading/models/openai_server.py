"""An openai-compatible server of one model: a JSON object in, a JSON object out, everything else an AttemptError.

Its API key is read once, at the start, and cut out of whatever the server says: some repeat it in their errors.
"""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from pinetune.grading.http_calls import HttpCaller, HttpReply, NoReplyError
from pinetune.grading.models.attempts import AttemptError, Usage
from pinetune.grading.models.settings import ModelSettings
from pinetune.pod.errors import InvalidInput

REPLY_BYTES_MAX = 64 * 1024 * 1024
"""Hundreds of embeddings as JSON are some ten megabytes."""
MESSAGE_CHARACTERS_MAX = 300
HIDDEN = "***"
BUSY_STATUSES = (408, 409, 425, 429)
"""Client errors that say "not now" rather than "not this"."""
INPUT_STATUSES = (400, 413, 422)


class OpenaiServer:
    """Speaks to one server; used by as many threads as its model has."""

    def __init__(self, name: str, settings: ModelSettings) -> None:
        if "@" in settings.base_url:
            raise InvalidInput(
                f"base_url of model {name}: no name or password in the URL; api_key_env names a variable",
                reason="INVALID_SETTINGS",
                field="base_url",
            )
        self.model = settings.model or name
        """What the server calls the model."""
        self.base_url = settings.base_url.rstrip("/")
        """Where its paths begin."""
        self._name = name
        self._key = settings.api_key()
        self._headers = {} if self._key is None else {"Authorization": f"Bearer {self._key}"}
        self._http = HttpCaller()

    def post(self, path: str, body: Mapping[str, JsonValue], seconds: float) -> dict[str, JsonValue]:
        """Return the object that the server answers to `body` at `path`; raises AttemptError."""
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        url = f"{self.base_url}{path}"
        try:
            reply = self._http.post_json(
                url, content, headers=self._headers, seconds=seconds, bytes_max=REPLY_BYTES_MAX
            )
        except NoReplyError as error:
            raise self._error(error.detail, retryable=True, server_alive=False, timed_out=error.timed_out) from error
        if reply.status != 200:
            raise self._refusal(reply)
        found = _object(reply.body)
        if found is None:
            raise AttemptError("MODEL_PARSE", f"model {self._name}: the reply is no JSON object", retryable=True)
        return found

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _refusal(self, reply: HttpReply) -> AttemptError:
        detail = f"status {reply.status}: {_message(reply.body)}"
        if reply.status in BUSY_STATUSES or reply.status >= 500:
            return self._error(
                detail,
                retryable=True,
                server_alive=reply.status < 500,
                retry_after_seconds=reply.retry_after_seconds,
            )
        return self._error(detail, retryable=False, input_fault=reply.status in INPUT_STATUSES)

    def _error(
        self,
        detail: str,
        *,
        retryable: bool,
        server_alive: bool = True,
        timed_out: bool = False,
        input_fault: bool = False,
        retry_after_seconds: float | None = None,
    ) -> AttemptError:
        detail = detail if self._key is None else detail.replace(self._key, HIDDEN)
        return AttemptError(
            "MODEL_SERVER",
            f"model {self._name} at {self.base_url}: {detail[:MESSAGE_CHARACTERS_MAX]}",
            retryable=retryable,
            server_alive=server_alive,
            timed_out=timed_out,
            input_fault=input_fault,
            retry_after_seconds=retry_after_seconds,
        )


def read_usage(reply: Mapping[str, JsonValue]) -> Usage:
    """Return the tokens that a reply says it used; a server that counts none is taken to use none."""
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    return Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def _count(value: JsonValue) -> int:
    return value if type(value) is int and value > 0 else 0


def _object(body: bytes) -> dict[str, JsonValue] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _message(body: bytes) -> str:
    """Return what the server says is wrong: `error.message` where it speaks openai's language, else its first words."""
    match _object(body):
        case {"error": {"message": str(message)}} | {"error": str(message)} | {"message": str(message)}:
            return message
    return body[: 4 * MESSAGE_CHARACTERS_MAX].decode("utf-8", "replace").strip() or "no message"
