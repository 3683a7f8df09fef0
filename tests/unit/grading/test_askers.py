"""How a batch whose grader asks is graded: with hand-written askers, through the service's own handlers."""

import contextvars
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from pydantic import JsonValue

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.rollout import Grade, GradeError
from pinetune.grading.askers import Askers
from pinetune.grading.asking import Answers, Questions
from pinetune.grading.remote import hops
from pinetune.grading.service import GradingService
from pinetune.pod.errors import Busy, InvalidInput

JUDGE = {"type": "score_model", "model": "judge", "input": [{"role": "user", "content": "{{sample.output_text}}"}]}
PYTHON = {"type": "python", "source": "def grade(sample, item): return 1.0"}
REMOTE = {"type": "remote", "endpoint": "grpc://graders.example:50051"}
COSINE = {
    "type": "text_similarity",
    "evaluation_metric": "cosine",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}
BOTH = {"type": "multi", "graders": {"judge": JUDGE, "code": PYTHON}, "calculate_output": "judge + code"}


class Scripted:
    """An asker that answers by a function of the question, and keeps what it was asked."""

    def __init__(self, answer: Callable[[str], Grade], *, tokens: Mapping[str, int] | None = None) -> None:
        self.asked: list[Questions] = []
        self.deadlines: list[float] = []
        self.is_closed = False
        self.cancelled = threading.Event()
        self._answer = answer
        self._tokens = tokens or {}

    def check(self, grader: Mapping[str, JsonValue]) -> None:
        if grader.get("model") == "unknown":
            raise InvalidInput("model: no such model", reason="MODEL_UNKNOWN", field="model", detail="no such model")

    def ask(self, questions: Questions, *, deadline: float, cancelled: threading.Event) -> Answers:
        self.check(questions.grader)
        self.cancelled = cancelled
        self.asked.append(questions)
        self.deadlines.append(deadline - time.monotonic())
        return Answers([self._answer(body) for body in questions.bodies], self._tokens)

    def close(self) -> None:
        self.is_closed = True


class Context:
    """What the service asks of a call's context."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self.callbacks: list[Callable[[], None]] = []

    def add_callback(self, callback: Callable[[], None]) -> bool:
        self.callbacks.append(callback)
        return True

    def time_remaining(self) -> float | None:
        return self._seconds

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()


def graded(
    service: GradingService, grader: Mapping[str, object], texts: Sequence[str], *, seconds: float | None = None
) -> wire.GradeResponse:
    request = wire.GradeRequest(
        grader=wire.GraderSpec(json=json.dumps(grader)), items_json=['{"answer": "4"}'] * len(texts), output_texts=texts
    )
    context = Context(seconds)
    return wire.GradeResponse.FromString(service.grade(request.SerializeToString(), context))  # type: ignore[arg-type]


def by_length(body: str) -> Grade:
    return Grade(score=float(len(json.loads(body)[0]["content"])))


def test_every_sample_is_graded_with_the_answer_to_its_own_question() -> None:
    judge = Scripted(by_length, tokens={"judge": 12})
    response = graded(GradingService(Askers({"score_model": judge})), JUDGE, ["a", "abc", ""])
    assert [grade.score for grade in response.grades] == [1.0, 3.0, 0.0]
    assert dict(response.judge_tokens) == {"judge": 12}
    assert len({grade.grader_fingerprint for grade in response.grades}) == 1
    assert response.grading_seconds > 0
    (questions,) = judge.asked
    assert (questions.kind, questions.part, questions.grader["range"]) == ("score_model", "", [0.0, 1.0])


def test_parts_are_asked_at_the_same_time_and_their_tokens_are_added_up() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def meet(_: str) -> Grade:
        meeting.wait()  # Breaks unless the other part is asked meanwhile.
        return Grade(score=0.5)

    askers = {"score_model": Scripted(meet, tokens={"a": 3}), "python": Scripted(meet, tokens={"a": 4, "b": 1})}
    response = graded(GradingService(Askers(askers)), BOTH, ["x"])
    assert response.grades[0].score == 1.0
    assert dict(response.judge_tokens) == {"a": 7, "b": 1}


def test_an_error_of_an_answer_keeps_its_class_its_text_and_whether_it_may_be_retried() -> None:
    failing = Scripted(lambda _: Grade(error=GradeError("MODEL_SERVER", "503 from the judge", retryable=True)))
    askers = Askers({"score_model": failing, "python": Scripted(lambda _: Grade(score=1.0))})
    (grade,) = graded(GradingService(askers), BOTH, ["x"]).grades
    assert grade.error == rollout_pb2.GradeError(
        error_class=rollout_pb2.GRADE_ERROR_CLASS_MODEL_SERVER,
        detail="503 from the judge",
        retryable=True,
        part="judge",
    )
    assert dict(grade.part_scores) == {"code": 1.0}


def test_an_asker_that_fails_as_a_whole_fails_its_part_and_no_number_takes_its_place() -> None:
    def fail(_: str) -> Grade:
        raise Busy("too many questions", reason="BUSY")

    response = graded(GradingService(Askers({"score_model": Scripted(fail)})), JUDGE, ["a", "b"])
    assert [grade.error.detail for grade in response.grades] == ["score_model: too many questions"] * 2


def test_an_answer_that_is_no_finite_number_is_an_error() -> None:
    (grade,) = graded(
        GradingService(Askers({"score_model": Scripted(lambda _: Grade(score=float("nan")))})), JUDGE, ["a"]
    ).grades
    assert grade.WhichOneof("outcome") == "error"


def test_an_answer_keeps_its_parts_its_findings_and_the_part_that_failed() -> None:
    answer = Grade(
        error=GradeError("FORMULA", "log of 0", part="b"),
        part_scores={"a": 0.5},
        part_errors={"b": GradeError("FORMULA", "log of 0", part="b")},
        extracted_answer="4",
        matched_rank=2,
        listed_count=3,
    )
    (grade,) = graded(GradingService(Askers({"remote": Scripted(lambda _: answer)})), REMOTE, ["a"]).grades
    assert Grade.from_wire(grade) == replace(answer, grader_fingerprint=grade.grader_fingerprint)


def test_a_kind_that_nobody_answers_is_refused_by_name() -> None:
    for call in (
        lambda: graded(GradingService(), BOTH, ["x"]),
        lambda: validated(GradingService(), BOTH),
    ):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.reason == "GRADER_KIND_UNAVAILABLE"
        assert caught.value.metadata["field"] in ("graders.code.type", "graders.judge.type")


def validated(service: GradingService, grader: Mapping[str, object]) -> bytes:
    request = wire.ValidateGraderRequest(grader=wire.GraderSpec(json=json.dumps(grader)))
    return service.validate_grader(request.SerializeToString(), Context(None))  # type: ignore[arg-type]


def test_an_askers_refusal_names_the_part_and_its_field() -> None:
    askers = Askers({"score_model": Scripted(by_length), "python": Scripted(by_length)})
    grader = {**BOTH, "graders": {"judge": {**JUDGE, "model": "unknown"}, "code": PYTHON}}
    with pytest.raises(InvalidInput) as caught:
        validated(GradingService(askers), grader)
    assert (caught.value.reason, caught.value.metadata["field"]) == ("MODEL_UNKNOWN", "graders.judge.model")
    assert str(caught.value) == "graders.judge.model: no such model"


def test_cosine_has_an_asker_of_its_own_and_other_similarities_have_none() -> None:
    cosine = Scripted(lambda body: Grade(score=1.0 if json.loads(body) == ["x", "4"] else 0.0))
    service = GradingService(Askers({"cosine": cosine}))
    assert graded(service, COSINE, ["x"]).grades[0].score == 1.0
    validated(GradingService(), {**COSINE, "evaluation_metric": "bleu"})


def test_what_a_call_brings_along_reaches_every_part() -> None:
    seen: list[int] = []

    def answer(body: str) -> Grade:
        seen.append(hops.current())
        return Grade(score=1.0)

    class Passed(Context):
        def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
            return ((hops.HOPS_KEY, "2"),)

    service = GradingService(Askers({"score_model": Scripted(answer), "python": Scripted(answer)}))
    request = wire.GradeRequest(
        grader=wire.GraderSpec(json=json.dumps(BOTH)), items_json=["{}"], output_texts=["x"]
    ).SerializeToString()
    contextvars.copy_context().run(service.grade, request, Passed(None))  # type: ignore[arg-type]
    assert seen == [2, 2]


def test_answers_are_due_before_the_callers_deadline() -> None:
    judge = Scripted(by_length)
    graded(GradingService(Askers({"score_model": judge})), JUDGE, ["x"], seconds=20)
    assert judge.deadlines[0] < 20


def test_a_call_whose_time_is_over_is_due_at_once_and_not_in_an_hour() -> None:
    judge = Scripted(by_length)
    graded(GradingService(Askers({"score_model": judge})), JUDGE, ["x"], seconds=0.0)
    assert judge.deadlines[0] <= 0


def test_an_asker_is_told_when_nobody_waits_any_more() -> None:
    judge = Scripted(by_length)
    context = Context(None)
    request = wire.GradeRequest(grader=wire.GraderSpec(json=json.dumps(JUDGE)), items_json=["{}"], output_texts=["x"])
    GradingService(Askers({"score_model": judge})).grade(request.SerializeToString(), context)  # type: ignore[arg-type]
    assert not judge.cancelled.is_set()
    for callback in context.callbacks:
        callback()
    assert judge.cancelled.is_set()


def test_a_caller_may_ask_for_answers_that_were_not_kept() -> None:
    judge = Scripted(by_length)
    for fresh in (False, True):
        request = wire.GradeRequest(
            grader=wire.GraderSpec(json=json.dumps(JUDGE)), items_json=["{}"], output_texts=["x"], fresh_answers=fresh
        )
        service = GradingService(Askers({"score_model": judge}))
        service.grade(request.SerializeToString(), Context(None))  # type: ignore[arg-type]
    assert [questions.fresh for questions in judge.asked] == [False, True]


def test_a_grader_that_an_asker_refuses_is_refused_when_grading_too() -> None:
    grader = {**BOTH, "graders": {"judge": {**JUDGE, "model": "unknown"}, "code": PYTHON}}
    askers = Askers({"score_model": Scripted(by_length), "python": Scripted(lambda _: Grade(score=1.0))})
    with pytest.raises(InvalidInput) as caught:
        graded(GradingService(askers), grader, ["x"])
    assert (caught.value.reason, caught.value.metadata["field"]) == ("MODEL_UNKNOWN", "graders.judge.model")


def test_a_sample_that_cannot_be_asked_about_is_not_asked_about() -> None:
    judge = Scripted(by_length)
    grader = {**JUDGE, "input": [{"role": "user", "content": "{{sample.output_json.a}}"}]}
    response = graded(GradingService(Askers({"score_model": judge})), grader, ['{"a": "xy"}', "no JSON"])
    assert response.grades[0].score == 2.0
    assert response.grades[1].error.error_class == rollout_pb2.GRADE_ERROR_CLASS_SAMPLE_PARSE
    assert [len(questions.bodies) for questions in judge.asked] == [1]


def test_closing_the_service_closes_what_it_asks() -> None:
    judge = Scripted(by_length)
    askers = Askers({"score_model": judge})
    askers.close()
    assert judge.is_closed
