"""A grading pod that asks outside, whole: settings from the environment, the core, the askers, metrics, over gRPC."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.openai_api import OpenaiApi, Reply, embedded, judged, said

from pinetune.cli.main import main
from pinetune.client.grading import GradingClient
from pinetune.grading.__main__ import build
from pinetune.pod.channel import connect
from pinetune.pod.errors import InvalidInput
from pinetune.pod.server import Pod, PodSettings, start

JUDGE = {
    "type": "score_model",
    "model": "judge",
    "input": [{"role": "user", "content": "{{sample.output_text}} for {{item.answer}}?"}],
    "range": [0, 10],
}
COSINE = {
    "type": "text_similarity",
    "evaluation_metric": "cosine",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}
NUMBER = {"type": "number", "reference": "{{item.answer}}"}


@pytest.fixture
def api() -> Iterator[OpenaiApi]:
    with OpenaiApi() as served:
        yield served


@pytest.fixture
def pod(api: OpenaiApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    """A grading pod that may ask the fake server as judge, as embedding model and as remote grader."""
    model = {"base_url": api.url}
    monkeypatch.setenv("PINETUNE_GRADING_MODELS", json.dumps({"judge": model}))
    monkeypatch.setenv("PINETUNE_GRADING_EMBEDDING_MODEL", json.dumps(model | {"model": "embedder"}))
    monkeypatch.setenv("PINETUNE_GRADING_REMOTE_ENDPOINTS", json.dumps([api.url]))
    monkeypatch.setenv("PINETUNE_GRADING_MODEL_PAUSE_SECONDS", "0.001")
    started = start("grading", PodSettings(grace_seconds=1.0), build)
    yield started
    started.close()


@pytest.fixture
def client(pod: Pod) -> Iterator[GradingClient]:
    with connect(pod.grpc_address) as channel:
        yield GradingClient(channel)


def answers(body: dict[str, object]) -> Reply:
    """Answer as judge, embedding model or remote grader, by what is asked."""
    if "messages" in body:
        return said("words") if "bad" in json.dumps(body) else judged(5)
    if "item" in body:
        return Reply(b'{"score": 0.5}')
    texts = body["input"]
    assert isinstance(texts, list)
    return embedded(*[[1.0, float(text)] for text in texts])


def test_parts_that_ask_and_parts_that_do_not_make_one_score(api: OpenaiApi, client: GradingClient) -> None:
    api.otherwise = answers
    remote = {"type": "remote", "endpoint": f"{api.url}/grade"}
    grader = {
        "type": "multi",
        "graders": {"judge": JUDGE, "alike": COSINE, "team": remote, "exact": NUMBER},
        "calculate_output": "judge + alike + 10 * team + 100 * exact",
    }
    batch = client.grade(json.dumps(grader), items_json=['{"answer": "4"}'], output_texts=["4"], item_indexes=[0])
    (grade,) = batch.grades
    assert grade.part_scores == pytest.approx({"judge": 5.0, "alike": 1.0, "team": 0.5, "exact": 1.0})
    assert grade.score == pytest.approx(111.0)
    assert batch.judge_tokens == {"judge": 15, "embedder": 5}
    assert api.seen[0].headers.get("authorization") is None


def test_an_item_too_deep_for_a_remote_grader_fails_alone(api: OpenaiApi, client: GradingClient) -> None:
    api.otherwise = answers
    remote = {"type": "remote", "endpoint": f"{api.url}/grade"}
    deep = '{"answer": "4", "tree": ' + "[" * 3000 + "]" * 3000 + "}"
    batch = client.grade(
        json.dumps(remote), items_json=['{"answer": "4"}', deep], output_texts=["4", "4"], item_indexes=[0, 1]
    )
    flat, nested = batch.grades
    assert flat.score == 0.5
    assert nested.error is not None
    assert (nested.error.error_class, nested.error.retryable) == ("REMOTE", False)


def test_a_sample_whose_judge_gives_no_number_fails_alone(api: OpenaiApi, client: GradingClient) -> None:
    api.otherwise = answers
    batch = client.grade(
        json.dumps(JUDGE), items_json=['{"answer": 4}'], output_texts=["good", "bad"], item_indexes=[0, 0]
    )
    good, bad = batch.grades
    assert good.score == 5.0
    assert bad.error is not None
    assert (bad.error.error_class, bad.error.retryable) == ("MODEL_PARSE", True)


def test_a_judge_of_moods_is_found_out_by_a_test_of_its_grader(
    api: OpenaiApi, pod: Pod, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moods = itertools.count()
    api.otherwise = lambda body: judged(next(moods) if "moody" in json.dumps(body) else 5)
    grader, cases = tmp_path / "grader.json", tmp_path / "cases.jsonl"
    grader.write_text(json.dumps(JUDGE))
    any_score = {"min": 0, "max": 10}
    rows = [{"sample": text, "item": {"answer": 4}, "score": any_score} for text in ("steady", "moody")]
    cases.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    arguments = [str(grader), "--cases", str(cases), "--repeats", "3", "--json", "--server", pod.grpc_address]
    with pytest.raises(SystemExit) as ended:
        main(["graders", "test", *arguments])
    report = json.loads(capsys.readouterr().out)
    assert (ended.value.code, report["disagreements"]) == (1, [])
    assert [miss["line"] for miss in report["determinism"]["unstable"]] == [2]
    assert len(api.seen) == 6


@pytest.mark.parametrize(
    ("grader", "reason", "field"),
    [
        (JUDGE | {"model": "gpt-9"}, "MODEL_UNKNOWN", "graders.p.model"),
        ({"type": "remote", "endpoint": "http://10.0.0.1/"}, "ENDPOINT_NOT_ALLOWED", "graders.p.endpoint"),
    ],
    ids=["model", "endpoint"],
)
def test_a_grader_that_this_pod_may_not_ask_is_refused_with_its_field(
    client: GradingClient, grader: dict[str, object], reason: str, field: str
) -> None:
    multi = json.dumps({"type": "multi", "graders": {"p": grader}, "calculate_output": "p"})
    for refused in (
        lambda: client.validate(multi),
        lambda: client.grade(multi, items_json=['{"answer": 4}'], output_texts=["x"], item_indexes=[0]),
    ):
        with pytest.raises(InvalidInput) as caught:
            refused()
        assert (caught.value.reason, caught.value.metadata["field"]) == (reason, field)
        assert str(caught.value).startswith(f"{field}: ")


def test_a_pod_whose_key_is_missing_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "NO_SUCH_KEY"}
    monkeypatch.setenv("PINETUNE_GRADING_MODELS", json.dumps({"judge": model}))
    with pytest.raises(InvalidInput, match="NO_SUCH_KEY"):
        start("grading", PodSettings(grace_seconds=1.0), build)
