"""What users ask for, seen over a real connection: data sets, orders, lists, watching, cancelling, comparing."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from tests.fakes.jobs_room import GRADER, LIMITS, Room, jobs_room, training_step

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1.jobs_pb2_grpc import JobsServiceStub
from pinetune.api.jobs.v1.spec_pb2 import DatasetSettings
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.calls import TAKEN
from pinetune.client.prompts import Message
from pinetune.client.rollout import Completion, FinishReason, Grade, PolicySpan, Purpose
from pinetune.jobs.rollout_files import Rollout, write_rollouts
from pinetune.jobs.spec import parse_spec_json, spec_to_message
from pinetune.pod.errors import Busy, Conflict, InvalidInput, NotFound, PinetuneError, Unavailable, Unsupported

USAGE = wire.Usage()
ROW = {"question": "3 + 4?", "answer": "7", "cot": "It is 7."}


@pytest.fixture(scope="module")
def room(make_database_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    limits = replace(LIMITS, max_running=1000)
    with jobs_room(tmp_path_factory.mktemp("room"), make_database_url(), limits=limits, max_watchers=2) as running:
        yield running


def refusal(room: Room, kind: type[PinetuneError], **changes: Any) -> PinetuneError:
    with pytest.raises(kind) as caught:
        room.create_job(**changes)
    return caught.value


def reinforcement(**fields: Any) -> dict[str, Any]:
    return {"type": "reinforcement", "reinforcement": {"grader": GRADER, **fields}}


# Data sets.


def test_an_uploaded_data_set_is_described(room: Room) -> None:
    content = gzip.compress(b"".join(json.dumps({**ROW, "id": n}).encode() + b"\n" for n in range(3)))
    dataset = room.client.create_dataset(content, filename="rows.jsonl.gz")
    assert (dataset.row_count, dataset.size_bytes) == (3, len(content))
    assert list(dataset.common_keys) == ["answer", "cot", "id", "question"]
    assert dataset.findings[0].message == "the same item as line 1"
    assert room.client.get_dataset(dataset.dataset_id) == dataset


def test_a_large_upload_arrives_in_pieces(room: Room) -> None:
    rows = b"".join(json.dumps({"question": "x" * 1000, "n": n}).encode() + b"\n" for n in range(2500))
    assert len(rows) > 2 << 20
    assert room.client.create_dataset(rows, filename="a.jsonl").size_bytes == len(rows)


@pytest.mark.parametrize(
    ("filename", "content", "sentence"),
    [
        ("rows.csv", b"a", "header.filename must end in"),
        ("rows.jsonl", b'{"a": 1}\n{', "line 2: not JSON"),
        ("rows.jsonl", b"", "the file is empty"),
    ],
)
def test_a_bad_upload_is_refused_and_leaves_nothing(room: Room, filename: str, content: bytes, sentence: str) -> None:
    before = {dataset.dataset_id for dataset in room.client.list_datasets()}
    with pytest.raises(InvalidInput, match=sentence):
        room.client.create_dataset(content, filename=filename)
    assert {dataset.dataset_id for dataset in room.client.list_datasets()} == before
    assert len(list((room.folder / "artifacts" / "datasets").iterdir())) == len(before)


def test_a_character_that_no_database_holds_is_no_fault_of_ours(room: Room) -> None:
    dataset = room.client.create_dataset(b'{"a\\u0000": "\\u0000"}\n', filename="rows\0.jsonl")
    assert dataset.filename == "rows␀.jsonl"
    assert list(room.client.get_dataset(dataset.dataset_id).common_keys) == ["a\0"]
    with pytest.raises(NotFound):
        room.client.get_dataset("file-\0")
    job = room.create_job()
    worker = room.take(job.job_id)
    error = wire.JobError(reason="UNEXPECTED", message="the log ends with \0\0")
    worker.finish(wire.JOB_STATE_FAILED, error=error)
    assert room.client.get_job(job.job_id).error.message == "the log ends with ␀␀"


def test_a_data_set_in_use_cannot_be_deleted(room: Room) -> None:
    order = room.order()
    job = room.client.create_job(json.dumps(order))
    with pytest.raises(Conflict, match=job.job_id):
        room.client.delete_dataset(order["training_file"])
    room.client.cancel_job(job.job_id)
    for _ in range(2):  # The second time there is nothing to delete, which is fine.
        room.client.delete_dataset(order["training_file"])
    with pytest.raises(NotFound):
        room.client.get_dataset(order["training_file"])


def test_two_data_sets_are_checked_for_what_they_share(room: Room) -> None:
    settings = DatasetSettings(prompt="{{item.question}}")
    training, validation = room.upload(ROW), room.upload(ROW, {**ROW, "question": "x", "answer": "8"})
    found = room.client.check_datasets(training, validation, settings)
    assert (found.shared_prompt_count, found.shared_answer_count, found.validation_answer_count) == (1, 1, 2)
    assert list(found.shared_answers) == ["7"]


# Orders.


def test_an_order_becomes_a_queued_job_with_every_default_written_out(room: Room) -> None:
    job = room.create_job()
    assert job.state == wire.JOB_STATE_QUEUED
    assert job.spec.pinetune.algorithm.kl_coefficient == 0.05
    assert json.loads(job.spec.method.reinforcement.grader.json) == {**GRADER, "name": "given"}
    assert room.client.get_job(job.job_id) == job
    assert next(iter(room.client.list_jobs())).job_id == job.job_id


def test_the_grader_is_checked_against_the_keys_that_all_rows_have(room: Room) -> None:
    room.create_job()
    assert room.grading.item_keys[-1] == ["answer", "cot", "question"]


def test_an_order_may_come_as_messages_with_a_typed_grader(room: Room) -> None:
    message = spec_to_message(parse_spec_json(json.dumps(room.order())))
    message.method.reinforcement.grader.grader.number.reference = "{{item.answer}}"
    job = room.client.create_job(message)
    assert json.loads(job.spec.method.reinforcement.grader.json)["type"] == "number"


def test_the_same_request_makes_one_job(room: Room) -> None:
    order = json.dumps(room.order())
    first = room.client.create_job(order, request_id="once")
    assert room.client.create_job(order, request_id="once").job_id == first.job_id
    with pytest.raises(Conflict, match="used for") as caught:
        room.client.create_job(json.dumps(room.order()), request_id="once")
    assert caught.value.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    ("kind", "changes", "field"),
    [
        (NotFound, {"training_file": "file-none"}, "training_file"),
        (InvalidInput, {"temprature": 1}, "temprature"),
        (InvalidInput, {"model": "/no/such/model"}, "model"),
        (InvalidInput, {"model": "a/b/c"}, "model"),
        (InvalidInput, {"model": "./a"}, "model"),
        (InvalidInput, {"model": "~/no/such/model"}, "model"),
        (InvalidInput, {"model": ".a/b"}, "model"),
        (NotFound, {"model": "ft:nano::ftjob-none"}, "model"),
        (Unsupported, {"pinetune": {"policies": {"max_staleness": 1}}}, "pinetune.policies.max_staleness"),
        (
            NotFound,
            {"pinetune": {"dataset": {"prompt": "{{item.question}}"}, "policies": {"grader_test": {"file": "file-0"}}}},
            "pinetune.policies.grader_test.file",
        ),
        (
            InvalidInput,
            {"method": reinforcement(response_format={"json_schema": "{"})},
            "method.reinforcement.response_format.json_schema",
        ),
        (InvalidInput, {"pinetune": {"dataset": {"prompt": "{{item.answer}}"}}}, "pinetune.dataset.prompt"),
        (InvalidInput, {"pinetune": {"dataset": {"prompt": "{{item.nothing}}"}}}, "training_file"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_an_order_that_cannot_be_done_is_refused_by_its_field(
    room: Room, kind: type[PinetuneError], changes: dict[str, Any], field: str
) -> None:
    assert refusal(room, kind, **changes).metadata["field"] == field


def test_a_row_without_what_the_grader_names_is_named(room: Room) -> None:
    training = room.upload(ROW, {"question": "x", "cot": "y"})
    refused = refusal(room, InvalidInput, training_file=training)
    assert refused.message.startswith("training_file: line 2, key `answer`: is missing or null, but the grader")
    assert refused.reason == "GRADER_NAMES_MISSING_KEY"


@pytest.mark.parametrize("field", ["training_file", "validation_file", "pinetune.evaluation.test_file"])
@pytest.mark.parametrize(
    "error", [rollout_pb2.GRADE_ERROR_CLASS_INVALID_REFERENCE, rollout_pb2.GRADE_ERROR_CLASS_INVALID_VARIABLE]
)
def test_a_row_that_no_answer_can_be_graded_against_is_named(
    room: Room, field: str, error: rollout_pb2.GradeErrorClass
) -> None:
    room.grading.errors["five"] = error
    bad = [{**ROW, "question": f"bad {number}", "answer": "five"} for number in range(30)]
    files = {field: room.upload({**ROW, "question": "good"}, *bad)}
    settings: dict[str, Any] = {"dataset": {"prompt": "{{item.question}}"}}
    if test_file := files.pop("pinetune.evaluation.test_file", ""):
        settings["evaluation"] = {"test_file": test_file}
    refused = refusal(room, InvalidInput, **files, pinetune=settings)
    first, *_, last = refused.message.splitlines()
    assert (
        first == f"{field}: line 2: the grader of method.reinforcement.grader can grade no answer: five cannot be read"
    )
    assert last.startswith("and ")
    assert (refused.reason, refused.metadata["field"]) == ("ITEM_NOT_GRADABLE", field)
    assert refused.metadata["fault_count"] == "30"


@pytest.mark.parametrize(
    "error",
    [
        rollout_pb2.GRADE_ERROR_CLASS_SAMPLE_PARSE,
        rollout_pb2.GRADE_ERROR_CLASS_FORMULA,
        rollout_pb2.GRADE_ERROR_CLASS_OTHER,
    ],
)
def test_an_answer_that_cannot_be_graded_says_nothing_about_its_row(
    room: Room, error: rollout_pb2.GradeErrorClass
) -> None:
    room.grading.errors["5"] = error
    room.create_job(training_file=room.upload({**ROW, "question": "z", "answer": "5"}))


def test_an_evaluation_names_the_rows_that_no_answer_can_be_graded_against(room: Room) -> None:
    room.grading.errors["five"] = rollout_pb2.GRADE_ERROR_CLASS_INVALID_REFERENCE
    order = evaluation_order(room)
    order.dataset_id = room.upload({**ROW, "answer": "five"})
    with pytest.raises(InvalidInput, match="dataset_id: line 1: the grader of grader can grade no answer"):
        room.client.create_evaluation(order)


def test_a_grader_that_the_grading_service_refuses_is_refused(room: Room) -> None:
    room.grading.refusal = InvalidInput("tolerance must be above 0", reason="GRADER_INVALID", field="tolerance")
    refused = refusal(room, InvalidInput)
    room.grading.refusal = None
    assert refused.message == "method.reinforcement.grader: tolerance must be above 0"
    assert (refused.reason, refused.metadata["field"]) == ("GRADER_INVALID", "method.reinforcement.grader")


def test_without_a_grading_service_no_job_is_queued(room: Room) -> None:
    room.grading.refusal = Unavailable("still starting", reason="POD_STARTING")
    refused = refusal(room, Unavailable)
    room.grading.refusal = None
    assert refused.reason == "GRADING_UNAVAILABLE"


def test_a_job_whose_grader_fails_its_labelled_set_is_not_queued(room: Room) -> None:
    def settings(label: float) -> dict[str, Any]:
        cases = room.upload({"sample": "it is 7", "item": {"answer": "7"}, "score": label})
        return {"dataset": {"prompt": "{{item.question}}"}, "policies": {"grader_test": {"file": cases}}}

    before = len(list(room.client.list_jobs()))
    refused = refusal(room, InvalidInput, pinetune=settings(1))
    assert (refused.reason, refused.metadata["field"]) == ("GRADER_TEST_FAILED", "pinetune.policies.grader_test.file")
    assert "line 1: expected 1, got 0: it is 7" in refused.message
    assert len(list(room.client.list_jobs())) == before
    job = room.create_job(pinetune=settings(0))
    with pytest.raises(Conflict, match=job.job_id):
        room.client.delete_dataset(job.spec.pinetune.policies.grader_test.file)


def test_sets_that_share_a_prompt_are_refused(room: Room) -> None:
    name = room.upload(ROW)
    refused = refusal(room, InvalidInput, training_file=name, validation_file=name)
    assert refused.reason == "DATASETS_OVERLAP"


@pytest.mark.parametrize(
    "grader",
    [
        {"type": "number", "reference": "{{ item.meta.gene }}"},
        {"type": "string_check", "input": "{{item.meta.gene}}", "reference": "{{sample.output_text}}"},
        {"type": "ranked_list", "reference": "{{item.answer}}", "aliases": "{{item.meta.gene}}"},
        {"type": "multi", "graders": {"a": {"type": "number", "reference": "{{item.meta.gene}}"}}},
    ],
    ids=["reference", "swapped", "aliases", "part"],
)
def test_what_a_grader_compares_with_is_hidden_from_the_prompt(room: Room, grader: dict[str, Any]) -> None:
    files = {
        name: room.upload({**ROW, "question": name, "meta": {"gene": 3, "organ": "eye"}})
        for name in ("training_file", "validation_file")
    }
    method = {"type": "reinforcement", "reinforcement": {"grader": grader}}
    for text in ("{{item.meta.gene}}", "{{item.meta}}"):
        settings = {"dataset": {"prompt": f"{{{{item.question}}}} {text}"}}
        refused = refusal(room, InvalidInput, **files, method=method, pinetune=settings)
        assert (refused.reason, refused.metadata["field"]) == ("HIDDEN_KEY_IN_PROMPT", "pinetune.dataset.prompt")
        order = evaluation_order(room)
        order.dataset_id, order.grader.json = files["training_file"], json.dumps(grader)
        order.dataset.prompt = text
        with pytest.raises(InvalidInput, match="hidden from the model"):
            room.client.create_evaluation(order)
    settings = {"dataset": {"prompt": "{{item.question}} {{item.meta.organ}}"}}
    room.create_job(**files, method=method, pinetune=settings)


def test_a_judge_may_read_what_the_prompt_shows(room: Room) -> None:
    judge = {"type": "score_model", "model": "m", "input": [{"role": "user", "content": "{{item.question}}"}]}
    reads_both = {**GRADER, "input": "{{item.question}} {{sample.output_text}}"}
    for grader in (judge, reads_both):
        room.create_job(method={"type": "reinforcement", "reinforcement": {"grader": grader}})


def test_a_vote_needs_a_grader_that_finds_an_answer(room: Room) -> None:
    grader = {"type": "string_check", "operation": "eq", "input": "{{sample.output_text}}", "reference": "7"}
    settings = {"dataset": {"prompt": "{{item.question}}"}, "evaluation": {"vote_samples": 5}}
    room.create_job(pinetune=settings)
    refused = refusal(
        room, InvalidInput, method={"type": "reinforcement", "reinforcement": {"grader": grader}}, pinetune=settings
    )
    assert refused.message == (
        "pinetune.evaluation.vote_samples must be 1 with a grader of type string_check, which extracts no answer to "
        "vote on; it is 5. Those of type number, multiple_choice, ranked_list, math, json_fields, tool_calls do, alone "
        "or as a part of a multi grader"
    )
    assert (refused.reason, refused.metadata["field"]) == ("GRADER_CANNOT_VOTE", "pinetune.evaluation.vote_samples")
    order = evaluation_order(room, vote_samples=5)
    order.grader.json = json.dumps(grader)
    with pytest.raises(InvalidInput, match=r"^vote_samples must be 1"):
        room.client.create_evaluation(order)


def test_a_grader_of_calls_needs_a_format_that_has_calls(room: Room) -> None:
    grader = {"type": "tool_calls", "reference": "{{item.calls}}"}
    files = {name: room.upload({**ROW, "question": name, "calls": []}) for name in ("training_file", "validation_file")}
    method = {"type": "reinforcement", "reinforcement": {"grader": grader}}
    settings = {"dataset": {"prompt": "{{item.question}}"}}
    for named in ("auto", "hermes", "think+mistral"):
        room.create_job(**files, method=method, pinetune={**settings, "engine": {"parts_format": named}})
    for named in ("none", "think"):
        engine = {"parts_format": named}
        refused = refusal(room, InvalidInput, **files, method=method, pinetune={**settings, "engine": engine})
        assert (refused.reason, refused.metadata["field"]) == ("CALLS_NOT_READ", "pinetune.engine.parts_format")
        order = evaluation_order(room)
        order.dataset_id, order.grader.json, order.engine.parts_format = (
            files["training_file"],
            json.dumps(grader),
            named,
        )
        with pytest.raises(InvalidInput, match=r"^engine\.parts_format: the grader reads sample\.output_tools"):
            room.client.create_evaluation(order)


@pytest.mark.parametrize("field", ["training_file", "validation_file", "pinetune.evaluation.test_file"])
def test_an_overlap_of_answers_cannot_be_overlooked_for_a_wrong_key(room: Room, field: str) -> None:
    bad = room.upload({"question": "x", "answer": "8", "cot": "y"})
    good = {name: room.upload({**ROW, "question": name, "gene": name}) for name in ("a", "b", "c")}
    files = dict(zip(("training_file", "validation_file", "pinetune.evaluation.test_file"), good.values(), strict=True))
    files[field] = bad
    dataset = {"prompt": "{{item.question}}", "reference": "gene", "refuse_answer_overlap": True}
    test_file = files.pop("pinetune.evaluation.test_file")
    settings = {"dataset": dataset, "evaluation": {"test_file": test_file}}
    refused = refusal(room, InvalidInput, **files, pinetune=settings)
    assert refused.message.startswith(f"{field}: line 1, key `gene`: is missing or empty")
    assert refused.metadata["field"] == field


def test_a_test_set_that_shares_answers_with_training_is_refused(room: Room) -> None:
    dataset = {"prompt": "{{item.question}}", "refuse_answer_overlap": True}
    settings = {"dataset": dataset, "evaluation": {"test_file": room.upload({**ROW, "question": "c"})}}
    files = {"training_file": room.upload(ROW), "validation_file": room.upload({**ROW, "question": "b", "answer": "8"})}
    refused = refusal(room, InvalidInput, **files, pinetune=settings)
    assert (refused.reason, refused.metadata["field"]) == ("DATASETS_OVERLAP", "pinetune.evaluation.test_file")


def test_a_test_set_with_validation_items_under_another_name_is_refused(room: Room) -> None:
    shared = {**ROW, "question": "b", "answer": "8"}
    settings = {
        "dataset": {"prompt": "{{item.question}}"},
        "evaluation": {"test_file": room.upload({**ROW, "question": "c"}, shared)},
    }
    refused = refusal(
        room, InvalidInput, training_file=room.upload(ROW), validation_file=room.upload(shared), pinetune=settings
    )
    assert (refused.reason, refused.metadata["field"]) == ("DATASETS_OVERLAP", "pinetune.evaluation.test_file")
    assert "1 of 2 items have a prompt that is also in validation_file" in refused.message


def test_a_final_comparison_on_the_validation_items_is_warned_of(room: Room) -> None:
    prompt = {"dataset": {"prompt": "{{item.question}}"}}

    def warnings(evaluation: dict[str, Any]) -> list[str]:
        job = room.create_job(pinetune={**prompt, "evaluation": evaluation})
        events = room.client.list_events(job.job_id)
        return [event.message for event in events if event.level == wire.EVENT_LEVEL_WARN]

    assert warnings({}) == [
        "the final comparison is on the items of validation_file, by which the checkpoint is chosen, so that new items "
        "would show less of a gain; name others in pinetune.evaluation.test_file"
    ]
    assert warnings({"test_file": room.upload({**ROW, "question": "a test"})}) == []
    assert warnings({"final_comparison": False}) == []


def test_a_warm_up_that_was_not_asked_for_is_left_out_where_nothing_can_be_imitated(room: Room) -> None:
    training = room.upload({"question": "only this", "answer": "1"})
    job = room.create_job(training_file=training)
    assert job.spec.pinetune.warm_up.epochs == 0
    assert any("there is no warm-up" in event.message for event in room.client.list_events(job.job_id))
    settings = {"dataset": {"prompt": "{{item.question}}"}, "warm_up": {"epochs": 2}}
    assert refusal(room, InvalidInput, training_file=training, pinetune=settings).reason == "NOTHING_TO_IMITATE"


def test_a_job_can_start_from_another_ones_result(room: Room, tmp_path: Path) -> None:
    first = room.create_job()
    assert refusal(room, Conflict, model=f"job:{first.job_id}").reason == "MODEL_NOT_READY"
    room.take(first.job_id).finish(wire.JOB_STATE_SUCCEEDED, model_uri=str(tmp_path))
    name = room.client.get_job(first.job_id).fine_tuned_model
    for model in (f"job:{first.job_id}", name):
        second = room.create_job(model=model)
        room.scheduler.look()
        assert room.worker(second.job_id, 1).claim().model_uri == str(tmp_path)


def test_a_folder_in_hugging_face_format_is_a_model(room: Room, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    job = room.create_job(model=str(tmp_path))
    room.scheduler.look()
    assert room.worker(job.job_id, 1).claim().model_uri == str(tmp_path)


def test_an_address_of_a_folder_is_its_path(room: Room, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    job = room.create_job(model=f"file://{tmp_path}")
    room.scheduler.look()
    assert room.worker(job.job_id, 1).claim().model_uri == str(tmp_path)


def test_an_address_of_elsewhere_stays_as_it_is(room: Room) -> None:
    fsspec.filesystem("memory").pipe_file("/models/qwen/config.json", b"{}")
    job = room.create_job(model="memory://models/qwen")
    room.scheduler.look()
    assert room.worker(job.job_id, 1).claim().model_uri == "memory://models/qwen"


def test_an_address_that_holds_no_model_or_cannot_be_read_is_refused(room: Room) -> None:
    refused = refusal(room, InvalidInput, model="memory://models/absent")
    assert refused.message.startswith("model: there is no config.json in memory://models/absent")
    refused = refusal(room, InvalidInput, model="carrier-pigeon://models/qwen")
    assert refused.message.startswith("model: carrier-pigeon://models/qwen cannot be read")


def test_a_name_that_no_disk_could_hold_is_no_model(room: Room) -> None:
    refused = refusal(room, InvalidInput, model="m" * 300)
    assert refused.message.startswith("model must be `nano`, a folder, a hub id")


def test_a_folder_without_a_configuration_is_no_hub_id(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "qwen").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    refused = refusal(room, InvalidInput, model="models/qwen")
    assert refused.message.startswith("model: there is no config.json in models/qwen")


# Lists.


def test_lists_come_in_pages_that_add_up(room: Room) -> None:
    made = [room.create_job().job_id for _ in range(3)]
    stub = room.client._stub
    found, token = [], ""
    while True:
        page = stub.ListJobs(wire.ListJobsRequest(page_size=2, page_token=token))
        assert len(page.jobs) <= 2
        found += [job.job_id for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert len(found) == len(set(found))
    assert found[:3] == made[::-1]


def test_jobs_are_listed_by_state(room: Room) -> None:
    job = room.create_job()
    room.client.cancel_job(job.job_id)
    page = room.client._stub.ListJobs(wire.ListJobsRequest(states=[wire.JOB_STATE_CANCELLED], page_size=1000))
    assert job.job_id in {one.job_id for one in page.jobs}
    assert {one.state for one in page.jobs} == {wire.JOB_STATE_CANCELLED}


# Cancel, pause, resume.


def test_a_queued_job_is_cancelled_at_once(room: Room) -> None:
    job = room.create_job()
    assert room.client.cancel_job(job.job_id).state == wire.JOB_STATE_CANCELLED
    assert room.client.cancel_job(job.job_id).state == wire.JOB_STATE_CANCELLED
    with pytest.raises(Conflict, match="is cancelled and cannot become paused"):
        room.client.pause_job(job.job_id)


def test_a_running_job_is_cancelled_by_its_worker(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    assert room.client.cancel_job(job.job_id).state == wire.JOB_STATE_RUNNING
    worker.finish(wire.JOB_STATE_CANCELLED)
    assert room.client.get_job(job.job_id).state == wire.JOB_STATE_CANCELLED


def test_a_paused_job_goes_on_where_it_stopped(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    worker.commit_step(training_step(1), USAGE)
    room.client.pause_job(job.job_id)
    state = wire.Checkpoint(kind=wire.CHECKPOINT_KIND_PAUSE, step_number=1, state_uri="/states/1")
    worker.commit_checkpoint(state)
    worker.finish(wire.JOB_STATE_PAUSED)
    room.launcher.die(job.job_id, code=0)
    assert room.client.get_job(job.job_id).state == wire.JOB_STATE_PAUSED
    assert room.client.resume_job(job.job_id).state == wire.JOB_STATE_QUEUED
    room.scheduler.look()
    claim = room.worker(job.job_id, 2).claim()
    assert (claim.checkpoint.state_uri, claim.job.step) == ("/states/1", 1)


def test_a_pause_can_be_taken_back(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    room.client.pause_job(job.job_id)
    room.client.resume_job(job.job_id)
    assert worker.commit_step(training_step(1), USAGE) == 1  # WORKER_ACTION_CONTINUE


# Watching.


def test_a_watch_tells_everything_once_and_ends_with_the_job(room: Room) -> None:
    job = room.create_job()
    seen: list[wire.WatchJobResponse] = []
    watcher = threading.Thread(target=lambda: seen.extend(room.client.watch(job.job_id)))
    watcher.start()
    worker = room.take(job.job_id)
    for number in (1, 2):
        worker.commit_step(training_step(number), USAGE)
    worker.finish(wire.JOB_STATE_SUCCEEDED, model_uri="/model")
    watcher.join(timeout=20)
    assert [one.event for one in seen] == list(room.client.list_events(job.job_id))
    assert [one.job.step for one in seen if one.event.HasField("step")] == [1, 2]
    assert seen[-1].job.state == wire.JOB_STATE_SUCCEEDED
    assert seen[-1].job.spec == job.spec


def test_a_watch_goes_on_after_its_token(room: Room) -> None:
    job = room.create_job()
    room.client.cancel_job(job.job_id)
    first, *rest = room.client.watch(job.job_id)
    again = list(room.client.watch(job.job_id, resume_token=first.resume_token))
    assert again == rest


def test_a_token_of_another_job_is_refused(room: Room) -> None:
    job, other = room.create_job(), room.create_job()
    room.client.cancel_job(job.job_id)
    (token, *_) = (one.resume_token for one in room.client.watch(job.job_id))
    with pytest.raises(InvalidInput, match="resume_token"):
        list(room.client.watch(other.job_id, resume_token=token))


def test_a_watcher_that_left_makes_room_for_the_next(room: Room) -> None:
    job = room.create_job()
    stub = room.client._stub
    streams = [stub.WatchJob(wire.WatchJobRequest(job_id=job.job_id)) for _ in range(2)]
    for stream in streams:
        next(stream)
    with pytest.raises(Busy, match="2 streams are open already"):
        next(room.client.watch(job.job_id))
    for stream in streams:
        stream.cancel()
    room.client.cancel_job(job.job_id)
    for _ in range(100):  # The server hears of a cancellation a moment later.
        try:
            assert list(room.client.watch(job.job_id))
            return
        except Busy:
            threading.Event().wait(0.05)
    pytest.fail("the streams that were cancelled still hold their places")


def test_a_watch_without_news_is_told_that_it_is_taken(room: Room) -> None:
    job = room.create_job()
    stub, token = JobsServiceStub(room.channel), ""
    for _ in range(100):  # The job is launched meanwhile, which is news.
        watch = stub.WatchJob(wire.WatchJobRequest(job_id=job.job_id, resume_token=token), timeout=20)
        if TAKEN[0] in watch.initial_metadata():
            break
        token = next(watch).resume_token
        watch.cancel()
        threading.Event().wait(0.1)  # The server hears of it a moment later.
    else:
        pytest.fail("it was never told")
    watch.cancel()
    room.client.cancel_job(job.job_id)


# Rollouts and evaluations.


def rollout(number: int, *, score: float = 1.0, purpose: Purpose = Purpose.TRAINING, step: int = 1) -> Rollout:
    completion = Completion(
        completion_id=f"{purpose}-{step}-{number}",
        index=0,
        text="It is 7.",
        prompt_token_ids=(1, 2),
        token_ids=(3,),
        logprobs=(-0.5,),
        finish_reason=FinishReason.STOP,
        policy_spans=(PolicySpan(step, 1),),
    )
    return Rollout(
        item_id=f"row-{number}",
        messages=(Message("user", "3 + 4?"),),
        fields_json='{"answer": "7"}',
        completion=completion,
        grade=Grade(score=score),
        step=step,
        purpose=purpose,
    )


def test_rollouts_are_listed_in_order_and_found_with_their_tokens(room: Room, tmp_path: Path) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    for step in (1, 2):
        uri = str(tmp_path / f"{step}.parquet")
        write_rollouts(uri, [rollout(number, step=step) for number in range(3)])
        validation = str(tmp_path / f"validation-{step}.parquet")
        write_rollouts(validation, [rollout(9, step=step, purpose=Purpose.VALIDATION)])
        result = wire.ValidationResult(rollouts_uri=validation)
        worker.commit_step(training_step(step, rollouts_uri=uri, validation=result), USAGE)
    stub, found, token = room.client._stub, [], ""
    while True:
        page = stub.ListRollouts(wire.ListRolloutsRequest(job_id=job.job_id, page_size=2, page_token=token))
        found += [one.completion.completion_id for one in page.rollouts]
        assert all(not one.completion.token_ids for one in page.rollouts)
        token = page.next_page_token
        if not token:
            break
    assert found[:4] == ["training-1-0", "training-1-1", "training-1-2", "validation-1-9"]
    assert len(found) == len(set(found)) == 8
    validation_only = room.client.list_rollouts(
        job_id=job.job_id, step=2, purpose=rollout_pb2.ROLLOUT_PURPOSE_VALIDATION
    )
    assert [one.completion.completion_id for one in validation_only] == ["validation-2-9"]
    one = room.client.get_rollout("training-2-1", job_id=job.job_id)
    assert (list(one.completion.token_ids), one.item.messages[0].content) == ([3], "3 + 4?")
    with pytest.raises(NotFound):
        room.client.get_rollout("none", job_id=job.job_id)


def evaluation_order(room: Room, **fields: Any) -> wire.EvaluationOrder:
    order = wire.EvaluationOrder(name="base", model="org/model", dataset_id=room.upload(ROW), **fields)
    order.grader.json = json.dumps(GRADER)
    order.dataset.prompt = "{{item.question}}"
    return order


def test_an_evaluation_is_queued_run_and_found(room: Room, tmp_path: Path) -> None:
    evaluation = room.client.create_evaluation(evaluation_order(room), request_id="evaluation-once")
    assert evaluation.state == wire.JOB_STATE_QUEUED
    worker = room.take(evaluation.evaluation_id)
    assert not room.launcher.orders[-1].learns
    uri = str(tmp_path / "rollouts.parquet")
    write_rollouts(uri, [rollout(0, purpose=Purpose.EVALUATION)])
    worker.commit_evaluation(wire.Evaluation(statistics=[wire.Statistic(name="accuracy", value=1.0)], rollouts_uri=uri))
    worker.finish(wire.JOB_STATE_SUCCEEDED)
    found = room.client.get_evaluation(evaluation.evaluation_id)
    assert (found.state, found.statistics[0].value) == (wire.JOB_STATE_SUCCEEDED, 1.0)
    (one,) = room.client.list_rollouts(evaluation_id=evaluation.evaluation_id)
    assert one.purpose == rollout_pb2.ROLLOUT_PURPOSE_EVALUATION


def test_an_evaluation_of_a_model_that_is_not_made_yet_is_refused(room: Room) -> None:
    order = evaluation_order(room)
    order.model = "nano"
    with pytest.raises(InvalidInput, match="`nano` is made by a job"):
        room.client.create_evaluation(order)


def test_evaluations_are_compared_per_item_with_the_first(room: Room, tmp_path: Path) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    ids = []
    for name, scores in (("base", (0.0, 0.0, 1.0)), ("fine_tuned", (1.0, 1.0, 0.0))):
        uri = str(tmp_path / f"{name}.parquet")
        write_rollouts(uri, [rollout(n, score=s, purpose=Purpose.EVALUATION) for n, s in enumerate(scores)])
        measured = wire.Evaluation(order=wire.EvaluationOrder(name=name), rollouts_uri=uri)
        ids.append(worker.commit_evaluation(measured).evaluation_id)
    comparison = room.client.compare_evaluations(ids)
    accuracy = next(one for one in comparison.differences if one.statistic.name == "accuracy")
    assert (accuracy.evaluation_id, accuracy.baseline_id) == (ids[1], ids[0])
    assert (accuracy.better_count, accuracy.worse_count) == (2, 1)
    assert accuracy.statistic.value == pytest.approx(1 / 3)
    with pytest.raises(InvalidInput, match="must have 2 to 50 entries; it has 1"):
        room.client.compare_evaluations(ids[:1])


@pytest.mark.parametrize("method", ["get_job", "cancel_job", "pause_job", "resume_job", "get_evaluation"])
def test_what_does_not_exist_is_not_found(room: Room, method: str) -> None:
    with pytest.raises(NotFound):
        getattr(room.client, method)("ftjob-none")
