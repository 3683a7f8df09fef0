"""Remote graders that are grading services elsewhere, over real gRPC: their grades and errors are passed on."""

from collections.abc import Callable

import grpc
import pytest
from pydantic import JsonValue
from tests.fakes.grading_service import FakeGradingService
from tests.integration.grading_remote.conftest import DEEP, NUMBER, Make, ask, body, error, grader

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.rollout import GradeError
from pinetune.grading.__main__ import build
from pinetune.grading.remote import hops
from pinetune.grading.remote.asker import RemoteAsker
from pinetune.grading.remote.over_grpc import SAMPLES_PER_CALL
from pinetune.pod import trace
from pinetune.pod.errors import Broken, Busy, InvalidInput, PinetuneError, Unavailable
from pinetune.pod.server import PodSettings, start


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


def test_a_grading_service_is_called_once_even_where_it_is_away(make: Make, serve: Callable[..., str]) -> None:
    def fail(request: wire.GradeRequest) -> wire.GradeResponse:
        raise Unavailable("the core is being loaded", reason="LOADING")

    service = FakeGradingService(fail)
    endpoint = f"grpc://{serve([service.registered()])}"
    found = error(ask(make(remote_endpoints=[endpoint]), grader(endpoint, NUMBER)))
    assert (found.error_class, found.retryable) == ("REMOTE", True)
    assert len(service.seen) == 1


def test_a_grading_service_is_shown_its_own_token_and_never_that_of_the_pods(
    make: Make, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = FakeGradingService()
    endpoint = f"grpc://{serve([service.registered()])}"
    monkeypatch.setenv("PINETUNE_TOKEN", "pods-secret")
    monkeypatch.setenv("TEAM_TOKEN", "team-secret")
    ask(make(remote_endpoints=[endpoint]), grader(endpoint, NUMBER))
    tokens = {endpoint: {"token_env": "TEAM_TOKEN"}}
    ask(make(remote_endpoints=[endpoint], remote_tokens=tokens), grader(endpoint, NUMBER))
    assert [metadata.get("authorization") for metadata in service.metadata] == [None, "Bearer team-secret"]


def test_a_sample_that_is_nested_too_deeply_fails_alone_over_grpc_too(make: Make, serve: Callable[..., str]) -> None:
    service = FakeGradingService()
    endpoint = f"grpc://{serve([service.registered()])}"
    asker = make(remote_endpoints=[endpoint])
    found = ask(asker, grader(endpoint, NUMBER), [DEEP, body("4")]).grades
    assert found[0].error == GradeError("REMOTE", "remote grader: item is nested too deeply to be sent", False)
    assert found[1].score == 1.0
    assert ask(asker, grader(endpoint, NUMBER), [DEEP]).grades == [found[0]]
    assert [len(seen.output_texts) for seen in service.seen] == [1]


def test_a_grading_service_is_told_that_kept_answers_do_not_count(make: Make, serve: Callable[..., str]) -> None:
    service = FakeGradingService()
    endpoint = f"grpc://{serve([service.registered()])}"
    asker = make(remote_endpoints=[endpoint])
    for fresh in (False, True):
        ask(asker, grader(endpoint, NUMBER), fresh=fresh)
    assert [seen.fresh_answers for seen in service.seen] == [False, True]
