"""Remote graders behind real gRPC and HTTP servers: what they are sent, and that their failures stay errors."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import grpc
import pytest
from prometheus_client import REGISTRY
from pydantic import JsonValue
from tests.fakes.grading_service import FakeGradingService
from tests.fakes.openai_api import DROPS, HANGS, OpenaiApi, Reply

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.rollout import Grade, GradeError
from pinetune.grading.__main__ import build
from pinetune.grading.asking import Answers, Questions
from pinetune.grading.config import GradingSettings
from pinetune.grading.remote import hops
from pinetune.grading.remote.asker import RemoteAsker
from pinetune.grading.remote.over_grpc import SAMPLES_PER_CALL
from pinetune.pod import trace
from pinetune.pod.errors import Broken, Busy, InvalidInput, PinetuneError
from pinetune.pod.server import PodSettings, start

NUMBER = json.dumps({"type": "number", "reference": "{{item.answer}}"})
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
    asker: RemoteAsker, spec: dict[str, JsonValue], bodies: Sequence[str] = (body("4"),), seconds: float = 30.0
) -> Answers:
    questions = Questions(kind="remote", part="", grader=spec, bodies=bodies)
    return asker.ask(questions, deadline=time.monotonic() + seconds, cancelled=threading.Event())


def error(answers: Answers) -> GradeError:
    assert len(set(map(repr, answers.grades))) == 1
    found = answers.grades[0].error
    assert found is not None
    return found


def test_a_url_is_sent_item_sample_and_settings_and_its_score_is_the_grade(api: OpenaiApi, asker: RemoteAsker) -> None:
    reply = {"score": -0.5, "extracted_answer": "four", "matched_rank": 2, "listed_count": 3}
    api.otherwise = lambda body: Reply(json.dumps(reply).encode())
    answers = ask(asker, grader(f"{api.url}/grade", '{"strict": true}'), [body("4", output_tools=[])])
    assert answers.grades == [Grade(score=-0.5, extracted_answer="four", matched_rank=2, listed_count=3)]
    (seen,) = api.seen
    assert seen.path == "/v1/grade"
    assert seen.headers["content-type"] == "application/json"
    assert seen.body == {
        "item": {"answer": 4},
        "sample": {"output_text": "4", "output_tools": []},
        "settings": {"strict": True},
    }


def test_grades_come_in_the_order_of_the_samples(api: OpenaiApi, asker: RemoteAsker) -> None:
    api.otherwise = lambda body: Reply(json.dumps({"score": float(body["sample"]["output_text"])}).encode())
    found = ask(asker, grader(api.url), [body(str(number)) for number in range(50)]).grades
    assert [grade.score for grade in found] == list(map(float, range(50)))


@pytest.mark.parametrize(("retryable", "expected"), [({}, False), ({"retryable": True}, True)], ids=["no", "yes"])
def test_a_graders_own_error_is_told_in_its_words(
    api: OpenaiApi, asker: RemoteAsker, retryable: dict[str, bool], expected: bool
) -> None:
    api.otherwise = lambda body: Reply(json.dumps({"error": "no such unit"} | retryable).encode())
    assert error(ask(asker, grader(api.url))) == GradeError("REMOTE", "remote grader: no such unit", expected)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"0.7",
        b"{}",
        b'{"score": null}',
        b'{"score": "0.7"}',
        b'{"score": true}',
        b'{"score": NaN}',
        b'{"score": Infinity}',
        b'{"score": 1e999}',
        b'{"score": 1, "error": "both"}',
        b'{"score": 1, "mood": "good"}',
        b'{"score": 1, "matched_rank": -1}',
        b'{"score": 1, "extracted_answer": 4}',
        b'{"error": 5}',
        b'{"error": "e", "retryable": "yes"}',
        b"<html>",
    ],
)
def test_a_reply_that_is_not_as_agreed_is_an_error_and_never_a_score(
    api: OpenaiApi, asker: RemoteAsker, reply: bytes
) -> None:
    api.otherwise = lambda body: Reply(reply)
    found = error(ask(asker, grader(api.url)))
    assert (found.error_class, found.retryable) == ("REMOTE", False)


def test_a_reply_of_more_than_a_mebibyte_is_an_error(api: OpenaiApi, asker: RemoteAsker) -> None:
    api.otherwise = lambda body: Reply(b'{"score": 1.0}' + b" " * 1024 * 1024)
    assert "longer than 1048576 bytes" in error(ask(asker, grader(api.url))).detail


@pytest.mark.parametrize(
    ("reply", "retryable"),
    [
        (Reply(b"down", 500), True),
        (Reply(b"down", 503), True),
        (Reply(b"slow", 429), True),
        (Reply(b"who?", 401), False),
        (Reply(b"", 302, {"Location": "http://127.0.0.1:1/"}), False),
        (DROPS, True),
    ],
    ids=["500", "503", "429", "401", "redirect", "drop"],
)
def test_a_failing_url_is_an_error_and_is_called_once(
    api: OpenaiApi, asker: RemoteAsker, reply: Reply, retryable: bool
) -> None:
    api.otherwise = lambda body: reply
    found = error(ask(asker, grader(api.url)))
    assert (found.error_class, found.retryable) == ("REMOTE", retryable)
    assert len(api.seen) == 1


def test_a_url_that_hangs_is_given_up_after_the_graders_timeout(api: OpenaiApi, asker: RemoteAsker) -> None:
    api.otherwise = lambda body: HANGS
    found = error(ask(asker, grader(api.url, timeout_seconds=0.05)))
    assert (found.error_class, found.retryable) == ("REMOTE", True)


def test_a_grade_that_has_no_more_time_is_a_deadline(api: OpenaiApi, asker: RemoteAsker) -> None:
    api.otherwise = lambda body: HANGS
    found = error(ask(asker, grader(api.url), seconds=0.1))
    assert (found.error_class, found.retryable) == ("DEADLINE", True)


def test_no_more_calls_are_made_at_once_than_allowed(api: OpenaiApi, make: Make) -> None:
    two_are_here = threading.Barrier(2)

    def answer(body: object) -> Reply:
        two_are_here.wait(30)
        return Reply(b'{"score": 1.0}')

    api.otherwise = answer
    ask(make(remote_endpoints=[api.url], remote_concurrency=2), grader(api.url), [body("4")] * 8)
    assert api.busiest == 2


def test_an_endpoint_that_no_operator_allowed_is_refused_and_not_called(api: OpenaiApi, make: Make) -> None:
    asker = make()
    for refused in (lambda: asker.check(grader(api.url)), lambda: ask(asker, grader(api.url))):
        with pytest.raises(InvalidInput, match="PINETUNE_GRADING_REMOTE_ENDPOINTS") as caught:
            refused()
        assert caught.value.reason == "ENDPOINT_NOT_ALLOWED"
    assert api.seen == []


@pytest.mark.parametrize(
    ("endpoint", "settings"), [("http://a.org", "{"), ("grpc://a:1", ""), ("grpc://a:1", "[]"), ("grpc://a:1", "{")]
)
def test_settings_that_cannot_be_sent_are_refused(make: Make, endpoint: str, settings: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(remote_endpoints=[endpoint]).check(grader(endpoint, settings))
    assert (caught.value.reason, caught.value.metadata["field"]) == ("REMOTE_SETTINGS_INVALID", "settings_json")


def test_a_grading_service_elsewhere_grades_as_this_one_would_and_its_errors_stay(make: Make) -> None:
    pod = start("grading", PodSettings(grace_seconds=1.0), build)
    try:
        endpoint = f"grpc://{pod.grpc_address}"
        asker = make(remote_endpoints=[endpoint])
        asker.check(grader(endpoint, NUMBER))
        found = ask(asker, grader(endpoint, NUMBER), [body("4"), body("5"), body("4", answer="four")]).grades
    finally:
        pod.close()
    assert [grade.score for grade in found] == [1.0, 0.0, None]
    assert [grade.extracted_answer for grade in found[:2]] == ["4", "5"]
    assert found[0].grader_fingerprint
    assert found[2].error is not None
    assert (found[2].error.error_class, found[2].error.retryable) == ("INVALID_REFERENCE", False)


def test_a_grading_service_is_sent_each_item_once_and_the_samples_other_values(
    make: Make, serve: Callable[..., str]
) -> None:
    service = FakeGradingService()
    endpoint = f"grpc://{serve([service.registered()])}"
    bodies = [
        '{"item": {"answer": 1.10}, "sample": {"output_text": "a"}}',
        '{"item": {"answer": 2}, "sample": {"output_text": "b", "output_tools": [{"x": 1.0}]}}',
        '{"item": {"answer": 1.10}, "sample": {"output_text": "c"}}',
    ]
    ask(make(remote_endpoints=[endpoint]), grader(endpoint, NUMBER), bodies)
    (seen,) = service.seen
    assert seen == wire.GradeRequest(
        grader=wire.GraderSpec(json=NUMBER),
        items_json=['{"answer": 1.10}', '{"answer": 2}'],
        output_texts=["a", "b", "c"],
        item_indexes=[0, 1, 0],
        samples_json=["{}", '{"output_tools":[{"x": 1.0}]}', "{}"],
    )
    assert service.metadata[0][hops.HOPS_KEY] == "1"


def test_a_grading_service_learns_what_the_call_is_for(make: Make, serve: Callable[..., str]) -> None:
    service = FakeGradingService()
    endpoint = f"grpc://{serve([service.registered()])}"
    with trace.within(job="job-7", step=3):
        ask(make(remote_endpoints=[endpoint]), grader(endpoint, NUMBER))
    (metadata,) = service.metadata
    assert (metadata["x-pinetune-job"], metadata["x-pinetune-step"]) == ("job-7", "3")


def test_a_large_batch_is_several_calls_and_their_tokens_are_added(make: Make, serve: Callable[..., str]) -> None:
    def answer(request: wire.GradeRequest) -> wire.GradeResponse:
        grades = [rollout_pb2.Grade(score=float(text)) for text in request.output_texts]
        return wire.GradeResponse(grades=grades, judge_tokens={"m": 7})

    service = FakeGradingService(answer)
    endpoint = f"grpc://{serve([service.registered()])}"
    count = 2 * SAMPLES_PER_CALL + 1
    answers = ask(make(remote_endpoints=[endpoint]), grader(endpoint, NUMBER), [body(str(n)) for n in range(count)])
    assert [grade.score for grade in answers.grades] == list(map(float, range(count)))
    assert sorted(len(seen.output_texts) for seen in service.seen) == [1, SAMPLES_PER_CALL, SAMPLES_PER_CALL]
    assert answers.judge_tokens == {"m": 21}


@pytest.mark.parametrize(
    ("fault", "retryable"),
    [
        (Busy("full", reason="FULL"), True),
        (Broken("oh", reason="OH"), True),
        (InvalidInput("no such kind", reason="GRADER_KIND_UNKNOWN"), False),
    ],
    ids=["busy", "broken", "invalid"],
)
def test_a_grading_service_that_fails_is_an_error_of_every_sample(
    make: Make, serve: Callable[..., str], fault: PinetuneError, retryable: bool
) -> None:
    def fail(request: wire.GradeRequest) -> wire.GradeResponse:
        raise fault

    endpoint = f"grpc://{serve([FakeGradingService(fail).registered()])}"
    found = error(ask(make(remote_endpoints=[endpoint]), grader(endpoint, NUMBER), [body("4")] * 3))
    assert (found.error_class, found.retryable) == ("REMOTE", retryable)
    assert fault.message in found.detail


def test_a_grading_service_that_nobody_runs_is_an_error_that_may_pass(make: Make) -> None:
    endpoint = "grpc://127.0.0.1:1"
    found = error(ask(make(remote_endpoints=[endpoint]), grader(endpoint, NUMBER)))
    assert (found.error_class, found.retryable) == ("REMOTE", True)


@pytest.mark.parametrize(
    "grades",
    [
        [],
        [rollout_pb2.Grade(score=float("nan"))],
        [rollout_pb2.Grade(error=rollout_pb2.GradeError.FromString(b"\x08\x63"))],
    ],
    ids=["none", "nan", "newer_class"],
)
def test_grades_that_cannot_be_read_are_errors(
    make: Make, serve: Callable[..., str], grades: list[rollout_pb2.Grade]
) -> None:
    service = FakeGradingService(lambda request: wire.GradeResponse(grades=grades))
    endpoint = f"grpc://{serve([service.registered()])}"
    found = error(ask(make(remote_endpoints=[endpoint]), grader(endpoint, NUMBER)))
    assert (found.error_class, found.retryable) == ("REMOTE", False)


def test_graders_that_name_each_other_end_with_an_error(make: Make, serve: Callable[..., str]) -> None:
    class Circle(FakeGradingService):
        """Grades by asking itself, as a service does whose remote grader names it again."""

        def grade(self, request: wire.GradeRequest, context: grpc.ServicerContext) -> wire.GradeResponse:
            hops.enter(context.invocation_metadata())
            self.seen.append(request)
            answers = ask(self.asker, self.spec)
            return wire.GradeResponse(grades=[grade.to_wire() for grade in answers.grades])

        asker: RemoteAsker
        spec: dict[str, JsonValue]

    circle = Circle()
    endpoint = f"grpc://{serve([circle.registered()])}"
    circle.asker, circle.spec = make(remote_endpoints=[endpoint]), grader(endpoint, NUMBER)
    found = error(ask(circle.asker, circle.spec))
    assert (found.error_class, found.retryable) == ("REMOTE", False)
    assert "circle" in found.detail
    assert len(circle.seen) == hops.HOPS_MAX


def test_calls_are_counted_by_outcome(api: OpenaiApi, asker: RemoteAsker) -> None:
    def counts() -> list[float]:
        name = "pinetune_grading_remote_calls_total"
        return [REGISTRY.get_sample_value(name, {"outcome": each}) or 0.0 for each in ("answered", "remote")]

    before = counts()
    api.script.append(Reply(b"down", 500))
    ask(asker, grader(api.url), [body("4")] * 3)
    assert [new - old for new, old in zip(counts(), before, strict=True)] == [2, 1]
