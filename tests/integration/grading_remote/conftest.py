"""Remote graders of a test: an HTTP server that answers as it says, and an asker with the settings that it wants."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from pydantic import JsonValue
from tests.fakes.openai_api import OpenaiApi, Reply

from pinetune.client.rollout import GradeError
from pinetune.grading.asking import Answers, Questions
from pinetune.grading.config import GradingSettings
from pinetune.grading.remote.asker import RemoteAsker

NUMBER = json.dumps({"type": "number", "reference": "{{item.answer}}"})
DEEP = '{"item": {"tree": ' + "[" * 3000 + "]" * 3000 + '}, "sample": {"output_text": "4"}}'
Make = Callable[..., RemoteAsker]


@pytest.fixture
def api() -> Iterator[OpenaiApi]:
    """A plain HTTP server; what it answers is up to the test."""
    with OpenaiApi() as served:
        served.otherwise = lambda body: Reply(b'{"score": 1.0}')
        yield served


@pytest.fixture
def make() -> Iterator[Make]:
    """A function that makes an asker; keywords are fields of the settings."""
    made: list[RemoteAsker] = []

    def make_asker(**fields: object) -> RemoteAsker:
        made.append(RemoteAsker(GradingSettings.model_validate(fields)))
        return made[-1]

    yield make_asker
    for asker in made:
        asker.close()


@pytest.fixture
def asker(api: OpenaiApi, make: Make) -> RemoteAsker:
    return make(remote_endpoints=[api.url])


def grader(endpoint: str, settings_json: str = "", timeout_seconds: float = 30.0) -> dict[str, JsonValue]:
    return {
        "type": "remote", "endpoint": endpoint, "timeout_seconds": timeout_seconds, "settings_json": settings_json,
    }  # fmt: skip


def body(text: str, answer: object = 4, **sample: object) -> str:
    return json.dumps({"item": {"answer": answer}, "sample": {"output_text": text} | sample})


def ask(
    asker: RemoteAsker,
    spec: dict[str, JsonValue],
    bodies: Sequence[str] = (body("4"),),
    seconds: float = 30.0,
    *,
    fresh: bool = False,
    cancelled: threading.Event | None = None,
) -> Answers:
    questions = Questions(kind="remote", part="", grader=spec, bodies=bodies, fresh=fresh)
    return asker.ask(questions, deadline=time.monotonic() + seconds, cancelled=cancelled or threading.Event())


def error(answers: Answers) -> GradeError:
    assert len(set(map(repr, answers.grades))) == 1
    found = answers.grades[0].error
    assert found is not None
    return found


def drip_then_answer(listener: socket.socket) -> None:
    """Drip headers to the first who connects until they hang up, and give the next one a score."""
    dripped, _ = listener.accept()
    with dripped, contextlib.suppress(OSError):
        dripped.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
        while True:
            dripped.sendall(b"a")
            time.sleep(0.02)
    answered, _ = listener.accept()
    with answered:
        answered.recv(65536)
        answered.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"score": 0.5}')
