"""The Python surface of the core: counts, encoder, errors; and the answers of the data sets beside the repository."""

import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.grade_requests import encode_grade_request
from pinetune.grading import graders, metrics
from pinetune.pod.errors import InvalidInput

NUMBER = wire.GraderSpec(json='{"type": "number", "reference": "{{item.answer}}", "partial_score": 0.1}')


def request(texts: Sequence[str], answers: Sequence[str], grader: wire.GraderSpec = NUMBER) -> wire.GradeRequest:
    items = [json.dumps({"answer": answer}) for answer in answers]
    return wire.GradeRequest(grader=grader, items_json=items, output_texts=texts)


def test_a_batch_comes_with_its_counts() -> None:
    texts, answers = ["4", "5", "?", "6", "4.0"], ["4", "4", "4", "six", "4"]
    batch = graders.grade(request(texts, answers).SerializeToString())
    by_bound = dict(zip([*graders.SCORE_BOUNDS, float("inf")], batch.score_counts, strict=True))
    assert {bound: count for bound, count in by_bound.items() if count} == {0.0: 1, 0.1: 1, 1.0: 2}
    assert batch.score_sum == pytest.approx(2.1)
    assert batch.error_counts == {"INVALID_REFERENCE": 1}
    assert batch.kind == "number"


def test_a_score_above_one_is_counted_above_all_bounds() -> None:
    grader = {"type": "multi", "graders": {"a": {"type": "number", "reference": "4"}}, "calculate_output": "3 * a"}
    spec = wire.GraderSpec(json=json.dumps(grader))
    batch = graders.grade(request(["4"], ["4"], spec).SerializeToString())
    assert (batch.score_counts[-1], batch.score_sum) == (1, 3.0)


def test_the_encoder_writes_what_protobuf_reads() -> None:
    expected = request(["4", "größer als 5", ""], ["4", "5"])
    expected.item_indexes.extend([0, 1, 1])
    expected.samples_json.extend(["", '{"choices": []}', ""])
    expected.finish_reasons.extend(
        [rollout_pb2.FINISH_REASON_STOP, rollout_pb2.FINISH_REASON_LENGTH, rollout_pb2.FINISH_REASON_CANCELLED]
    )
    written = encode_grade_request(
        NUMBER.SerializeToString(),
        expected.items_json,
        expected.output_texts,
        expected.item_indexes,
        expected.samples_json,
        expected.finish_reasons,
    )
    assert wire.GradeRequest.FromString(written) == expected


def test_a_refusal_carries_reason_field_and_detail() -> None:
    with pytest.raises(InvalidInput) as caught:
        graders.grade(request([], []).SerializeToString())
    assert caught.value.reason == "BATCH_SHAPE_INVALID"
    assert caught.value.metadata == {"field": "output_texts", "detail": "must hold at least one text"}


def test_a_request_that_is_not_bytes_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        graders.grade("text")  # type: ignore[arg-type]  # What is tested.


def test_a_batch_of_scores_is_shown_as_prometheus_has_histograms() -> None:
    histogram = metrics.ScoreHistogram("score", "Scores.", "kind", (0.0, 0.5, 1.0))
    registry = CollectorRegistry()
    registry.register(histogram)
    histogram.add("number", [1, 0, 2, 0], 2.0)
    histogram.add("number", [0, 3, 0, 1], 4.5)
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    assert lines == [
        'score_bucket{kind="number",le="0.0"} 1.0',
        'score_bucket{kind="number",le="0.5"} 4.0',
        'score_bucket{kind="number",le="1.0"} 6.0',
        'score_bucket{kind="number",le="+Inf"} 7.0',
        'score_count{kind="number"} 7.0',
        'score_sum{kind="number"} 6.5',
    ]


def test_every_grader_of_the_documentation_is_valid() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "graders.md"
    found = re.findall(r"^```json\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(found) >= 3
    for text in found:
        check = wire.ValidateGraderRequest(grader=wire.GraderSpec(json=text), item_keys=["answer"])
        graders.validate(check.SerializeToString())


def rows(path: Path) -> list[dict[str, str]]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in text.decode().split("\n") if line]


def wrong(grader: dict[str, object], found: Sequence[dict[str, str]], texts: Sequence[str]) -> list[str]:
    sent = request(texts, [row["answer"] for row in found], wire.GraderSpec(json=json.dumps(grader)))
    grades = wire.GradeResponse.FromString(graders.grade(sent.SerializeToString()).reply).grades
    return [row["id"] for row, grade in zip(found, grades, strict=True) if grade.score != 1]


def test_every_worked_solution_of_gsm8k_is_right(shared_data: Path) -> None:
    found = rows(shared_data / "gsm8k" / "train.jsonl.gz")
    texts = [row["cot"] for row in found]
    plain: dict[str, object] = {"type": "number", "reference": "{{item.answer}}"}
    marked = plain | {"location": {"marker": "The answer is", "marker_required": True}}
    assert len(found) > 7000
    assert wrong(plain, found, texts) == []
    assert wrong(marked, found, texts) == []


def test_every_worked_solution_of_mathqa_states_its_choice(shared_data: Path) -> None:
    found = [row for row in rows(shared_data / "mathqa" / "train.jsonl.gz") if row.get("cot")]
    grader: dict[str, object] = {"type": "multiple_choice", "reference": "{{item.answer}}", "choices": [*"abcde"]}
    assert len(found) > 4000
    assert wrong(grader, found, [row["cot"] for row in found]) == []


def test_every_legal_answer_is_found_before_the_question_is_repeated(shared_data: Path) -> None:
    found = rows(shared_data / "law" / "test.jsonl")
    choices = sorted({row["answer"] for row in found})
    grader: dict[str, object] = {"type": "multiple_choice", "reference": "{{item.answer}}", "choices": choices}
    assert (
        wrong(grader, found, [f"The answer is {row['answer'].lower()}, for {row['question']}" for row in found]) == []
    )


def test_every_causal_gene_is_found_at_its_rank(shared_data: Path) -> None:
    found = rows(shared_data / "rare_disease" / "demo_validation.jsonl")
    texts = [f"Ranking:\n1. **{row['answer']}** - fits {row['case_report']}\n2. **XYZ9** - less so" for row in found]
    assert wrong({"type": "ranked_list", "reference": "{{item.answer}}"}, found, texts) == []
