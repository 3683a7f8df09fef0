"""Text similarity by cosine, with an embedding model behind a real HTTP server."""

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import openai
import pytest
from tests.fakes.openai_api import GARBAGE, HANGS, OpenaiApi, Reply, embedded, status

from pinetune.client.rollout import Grade
from pinetune.grading.asking import Answers, Questions
from pinetune.grading.config import GradingSettings
from pinetune.grading.models.embedding import TEXTS_PER_REQUEST, EmbeddingAsker
from pinetune.pod.errors import InvalidInput

GRADER = {"type": "text_similarity", "name": "", "evaluation_metric": "cosine", "pass_threshold": None}
KNOWN = {
    "north": [0.0, 2.0],
    "south": [0.0, -3.0],
    "east": [0.5, 0.0],
    "north-east": [1.0, 1.0],
}
Make = Callable[..., EmbeddingAsker]


def by_name(body: dict[str, Any]) -> Reply:
    """Answer with the vectors of KNOWN, in the wrong order as a server may; refuse what is too long."""
    texts = body["input"]
    if any("long" in text for text in texts):
        return status(400, "maximum context length")
    vectors = [KNOWN.get(text, [1.0, float(len(text))]) for text in texts]
    return embedded(*vectors, order=list(reversed(range(len(texts)))))


@pytest.fixture
def api() -> Iterator[OpenaiApi]:
    with OpenaiApi() as served:
        served.otherwise = by_name
        yield served


@pytest.fixture
def make(api: OpenaiApi) -> Iterator[Make]:
    """A function that makes an asker whose model is behind `api`; keywords are fields of the model."""
    made: list[EmbeddingAsker] = []

    def make_asker(**fields: object) -> EmbeddingAsker:
        model = {"base_url": api.url, "model": "embedder"} | fields
        settings = {"embedding_model": model, "model_pause_seconds": 0.001}
        made.append(EmbeddingAsker(GradingSettings.model_validate(settings)))
        return made[-1]

    yield make_asker
    for asker in made:
        asker.close()


def ask(asker: EmbeddingAsker, *pairs: tuple[str, str], seconds: float = 30.0, fresh: bool = False) -> Answers:
    bodies = [json.dumps(pair) for pair in pairs]
    questions = Questions(kind="text_similarity", part="", grader=GRADER, bodies=bodies, fresh=fresh)
    return asker.ask(questions, deadline=time.monotonic() + seconds, cancelled=threading.Event())


def scores(asker: EmbeddingAsker, *pairs: tuple[str, str]) -> list[float | None]:
    return [grade.score for grade in ask(asker, *pairs).grades]


def test_the_score_is_the_cosine_whatever_the_length_and_order_of_the_vectors(make: Make) -> None:
    found = scores(make(), ("north", "north"), ("north", "east"), ("north", "north-east"))
    assert found == pytest.approx([1.0, 0.0, math.sqrt(0.5)])


def test_texts_that_point_apart_score_0(make: Make) -> None:
    assert scores(make(), ("north", "south")) == [0.0]


def test_cosines_are_those_of_numpy_and_never_above_1(api: OpenaiApi, make: Make) -> None:
    vectors = np.random.default_rng(5).normal(size=(60, 384)) * 10.0 ** np.arange(-30, 30)[:, None]
    api.otherwise = lambda body: embedded(*[vectors[int(text)].tolist() for text in body["input"]])
    pairs = [(str(a), str(b)) for a in range(60) for b in range(60)]
    found = scores(make(), *pairs)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = np.clip(unit @ unit.T, 0.0, 1.0).ravel()
    assert found == pytest.approx(expected.tolist(), abs=1e-12)
    assert max(score for score in found if score is not None) <= 1.0


def test_texts_are_asked_for_once_and_in_batches(api: OpenaiApi, make: Make) -> None:
    asker = make()
    pairs = [(f"text {number}", "reference") for number in range(2 * TEXTS_PER_REQUEST)]
    first, second = ask(asker, *pairs, *pairs), ask(asker, *pairs)
    sizes = sorted(len(seen.body["input"]) for seen in api.seen)
    assert sizes == [1, TEXTS_PER_REQUEST, TEXTS_PER_REQUEST]
    assert (first.judge_tokens, second.judge_tokens) == ({"embedder": 15}, {})
    assert first.grades[: len(pairs)] == second.grades


def test_a_text_that_the_model_does_not_take_fails_alone(make: Make) -> None:
    pairs = [("north", "north"), ("a long text", "north"), ("east", "north")]
    found = ask(make(), *pairs).grades
    assert [grade.score for grade in found] == [1.0, None, 0.0]
    error = found[1].error
    assert error is not None
    assert (error.error_class, error.retryable) == ("MODEL_SERVER", False)
    assert "maximum context length" in error.detail


def test_two_texts_that_the_model_does_not_take_fail_without_their_neighbours(make: Make) -> None:
    pairs = [("north", "north"), ("a long text", "north"), ("zz a long text", "north"), ("east", "east")]
    assert [grade.score for grade in ask(make(), *pairs).grades] == [1.0, None, None, 1.0]


def test_a_server_that_takes_nothing_is_not_asked_about_each_text(api: OpenaiApi, make: Make) -> None:
    api.otherwise = lambda body: status(400, "unknown parameter")
    found = ask(make(), *[(f"text {number}", f"reference {number}") for number in range(100)]).grades
    detail = f"model embedder at {api.url}: status 400: unknown parameter"
    assert {grade.error and grade.error.detail for grade in found} == {detail}
    batch_count = math.ceil(200 / TEXTS_PER_REQUEST)
    assert len(api.seen) == batch_count + 1


def test_embeddings_are_asked_for_anew_where_the_call_wants_it(api: OpenaiApi, make: Make) -> None:
    asker = make()
    for fresh in (False, True, True, False):
        ask(asker, ("north", "east"), fresh=fresh)
    assert len(api.seen) == 3


def test_an_empty_text_scores_0_and_an_empty_reference_is_a_fault_of_the_item(api: OpenaiApi, make: Make) -> None:
    empty_text, empty_reference, both = ask(make(), ("", "north"), ("north", " \n"), ("", "")).grades
    assert empty_text == Grade(score=0.0)
    for grade in (empty_reference, both):
        assert grade.error is not None
        assert (grade.error.error_class, grade.error.retryable) == ("INVALID_REFERENCE", False)
    assert api.seen == []


@pytest.mark.parametrize(
    "reply",
    [
        embedded([1.0, 0.0]),
        embedded([1.0, 0.0], [0.0, 0.0]),
        embedded([1.0, 0.0], [1.0, float("nan")]),
        embedded([1.0, 0.0], [1.0, 10**400]),
        embedded([1.0, 0.0], [1.0, "2"]),  # type: ignore[list-item]
        embedded([1.0, 0.0], [1.0]),
        embedded([1.0, 0.0], []),
        embedded([1.0, 0.0], [0.0, 1.0], order=[0, 0]),
        Reply(b'{"data": null}'),
        GARBAGE,
    ],
    ids=["one_missing", "zero", "nan", "too_large", "text", "lengths", "empty", "twice", "null", "html"],
)
def test_an_unusable_reply_is_an_error_and_never_a_score(api: OpenaiApi, make: Make, reply: Reply) -> None:
    api.otherwise = lambda body: reply
    (found,) = ask(make(), ("north", "east")).grades
    assert found.error is not None
    assert found.error.error_class == "MODEL_PARSE"


def test_a_server_that_fails_is_tried_again_and_then_an_error_that_may_pass(api: OpenaiApi, make: Make) -> None:
    asker = make()
    api.script += [status(500)]
    assert scores(asker, ("north", "east")) == [0.0]
    api.otherwise = lambda body: status(429)
    (found,) = ask(asker, ("west", "east")).grades
    assert found.error is not None
    assert (found.error.error_class, found.error.retryable) == ("MODEL_SERVER", True)


def test_a_grade_that_has_no_more_time_is_a_deadline(api: OpenaiApi, make: Make) -> None:
    api.otherwise = lambda body: HANGS
    (found,) = ask(make(), ("north", "east"), seconds=0.1).grades
    assert found.error is not None
    assert (found.error.error_class, found.error.retryable) == ("DEADLINE", True)


def test_a_spent_budget_is_named(make: Make) -> None:
    asker = make(token_budget=1)
    assert scores(asker, ("north", "east")) == [0.0]
    (found,) = ask(asker, ("north", "west")).grades
    assert found.error is not None
    assert "token_budget of 1" in found.error.detail


def test_without_an_embedding_model_cosine_is_refused() -> None:
    with pytest.raises(InvalidInput, match="PINETUNE_GRADING_EMBEDDING_MODEL") as caught:
        EmbeddingAsker(GradingSettings()).check(GRADER)
    assert (caught.value.reason, caught.value.metadata["field"]) == ("EMBEDDING_MODEL_UNSET", "evaluation_metric")


@pytest.mark.parametrize("fields", [{"base_url": "grpc://a:1"}, {"model": ""}], ids=["generation", "no_name"])
def test_a_model_that_cannot_embed_is_a_fault_of_the_settings(make: Make, fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="embedding_model"):
        make(**fields)


def test_the_request_is_the_one_that_the_official_client_sends(api: OpenaiApi, make: Make) -> None:
    ask(make(), ("east", "north"))
    with openai.OpenAI(base_url=api.url, api_key="k") as client:
        client.embeddings.create(model="embedder", input=["east", "north"], encoding_format="float")
    ours, theirs = api.seen
    assert ours.body == theirs.body
    assert ours.path == theirs.path == "/v1/embeddings"
