"""Data files: every bad row is named, none is dropped, and the reference stays on its side."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from pinetune.jobs.dataset import (
    CHAIN_OF_THOUGHT,
    Item,
    check_upload,
    item_findings,
    items_of,
    overlap,
    read_items,
    refuse_missing_references,
    refuse_overlap,
)
from pinetune.jobs.rows import ROW_BYTES_MAX, read_rows
from pinetune.jobs.spec import DatasetSettings
from pinetune.pod.errors import InvalidInput, NotFound

SETTINGS = DatasetSettings(prompt="{{item.question}}")
ROW = {"id": "a-1", "question": "3 + 4?", "answer": "7", "cot": "3 + 4 = 7."}
TURN = {"role": "user", "content": "3 + 4?"}


def file_of(*rows: dict[str, Any] | str) -> io.BytesIO:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    return io.BytesIO("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))


def items(*rows: dict[str, Any], settings: DatasetSettings = SETTINGS) -> list[Item]:
    return items_of(read_rows(file_of(*rows)), settings)


def refusal_of(file: io.BytesIO) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        check_upload(file)
    assert caught.value.reason == "INVALID_DATASET"
    return caught.value


def test_a_row_becomes_an_item_by_the_job_s_template() -> None:
    (item,) = items(ROW, settings=DatasetSettings(prompt="{{item.question}}", system="Add."))
    assert [(message.role, message.content) for message in item.messages] == [("system", "Add."), ("user", "3 + 4?")]
    assert (item.item_id, item.line, item.reference, item.chain_of_thought) == ("a-1", 1, "7", "3 + 4 = 7.")
    assert json.loads(item.fields_json) == ROW


def test_the_reference_never_reaches_the_prompt() -> None:
    (item,) = items({**ROW, "answer": "SECRET", "cot": "SECRET too"})
    assert all("SECRET" not in message.content for message in item.messages)


def test_an_openai_row_keeps_its_messages_and_tools() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 3}'}}
    parts = [{"type": "text", "text": "3 +"}, {"type": "text", "text": " 4?"}]
    messages = [
        {"role": "developer", "content": "Add."},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "7", "tool_call_id": "c1"},
    ]
    tool = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}
    (item,) = items({"messages": messages, "tools": [tool], "answer": 7}, settings=DatasetSettings())
    assert [message.role for message in item.messages] == ["developer", "user", "assistant", "tool"]
    assert item.messages[1].content == "3 + 4?"
    assert item.messages[2].tool_calls[0].arguments_json == '{"a": 3}'
    assert (item.tools[0].name, item.tools[0].parameters_json) == ("add", '{"type": "object"}')
    assert (item.item_id, item.fields_json, item.reference) == ("row-1", '{"answer": 7}', "7")


def test_a_last_turn_of_the_assistant_is_imitated_and_never_shown() -> None:
    (item,) = items({"messages": [TURN, {"role": "assistant", "content": "It is 7."}]})
    assert [message.role for message in item.messages] == ["user"]
    assert item.chain_of_thought == "It is 7."


@pytest.mark.parametrize(
    ("reference", "row", "text"),
    [
        ("answer", {"answer": 1.5}, "1.5"),
        ("answer", {"answer": ["a", "b"]}, '["a","b"]'),
        ("meta.gene", {"meta": {"gene": "NF1"}}, "NF1"),
        ("answer", {}, ""),
        ("answer", {"answer": None}, ""),
    ],
)
def test_a_reference_is_any_json_value(reference: str, row: dict[str, Any], text: str) -> None:
    (item,) = items({"messages": [TURN], **row}, settings=DatasetSettings(reference=reference))
    assert item.reference == text


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 1: not JSON"),
        ("", "line 1: the line is blank"),
        ("[1]", "line 1: a row is a JSON object, not a list"),
        ("{}", "line 1: the row has no `messages` and no other key"),
        ('{"tools": []}', "line 1: the row has no `messages` and no other key"),
        ('{"a": NaN}', "line 1: not JSON: NaN is not a number"),
        ('{"a": 1, "a": 2}', "line 1: not JSON: the key 'a' occurs twice"),
        ('{"a": "\\ud800"}', "line 1, key `a`: has half a character"),
        ('{"a": [1e400]}', "line 1, key `a[0]`: 1e400 is beyond"),
        ('{"a": "\udc80"}', "line 1: not UTF-8"),
        ('{"a": ' + "[" * 100_000, "line 1: not JSON"),
        ('{"a": "' + "x" * ROW_BYTES_MAX + '"}', "line 1: a row has at most 1,048,576 bytes"),
        ('{"id": true, "a": 1}', "line 1, key `id`: must be a text or a whole number"),
        ('{"messages": []}', "line 1, key `messages`: must be a list of at least one message"),
        ('{"messages": [{"role": "bot", "content": "a"}]}', "line 1, key `messages[0].role`: must be one of system,"),
        ('{"messages": [{"role": "user", "content": " "}]}', "line 1, key `messages[0].content`: is empty"),
        ('{"messages": [{"role": "user"}]}', "line 1, key `messages[0].content`: must be a text"),
        (
            '{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
            "line 1, key `messages[0].content`: has a part that is no text",
        ),
        ('{"messages": [{"role": "user", "content": "a", "colour": 1}]}', "line 1, key `messages[0].colour`: is not"),
        ('{"messages": [{"role": "user", "content": "a"}], "tools": [{}]}', "line 1, key `tools[0]`: must be"),
    ],
    ids=lambda value: value[:40],
)
def test_a_bad_row_is_named_by_line_and_key(line: str, sentence: str) -> None:
    assert refusal_of(file_of(line, ROW)).message.startswith(sentence)


def test_an_upload_names_twenty_bad_rows_and_counts_the_rest() -> None:
    refused = refusal_of(file_of(ROW, *["[]"] * 30))
    assert refused.message.splitlines()[0].startswith("line 2: ")
    assert refused.message.splitlines()[-1] == "and 10 more"
    assert (len(refused.message.splitlines()), refused.metadata["fault_count"]) == (21, "30")


def test_an_id_twice_is_refused() -> None:
    assert (
        refusal_of(file_of(ROW, {**ROW, "question": "x"})).message
        == "line 2, key `id`: 'a-1' is the id of line 1 already"
    )
    assert "row-2" in refusal_of(file_of({"id": "row-2", "a": 1}, {"a": 2})).message


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "the file is empty"), (gzip.compress(b'{"a": 1}\n' * 500)[:-20], "the file is no whole gzip file")],
    ids=["empty", "cut off"],
)
def test_a_file_that_is_bad_as_a_whole_is_refused(content: bytes, sentence: str) -> None:
    assert refusal_of(io.BytesIO(content)).message.startswith(sentence)


def test_too_many_rows_are_refused() -> None:
    assert "at most 50,000 rows" in refusal_of(io.BytesIO(b'{"a":1}\n' * 50_001)).message


def test_repeated_items_are_found_and_kept() -> None:
    rows = [{**ROW, "id": str(number)} for number in range(25)]
    summary = check_upload(file_of(*rows))
    assert summary.row_count == 25
    assert [str(finding) for finding in summary.findings[:1]] == ["line 2: the same item as line 1"]
    assert summary.findings[-1].message == "4 more rows repeat an earlier one"
    assert summary.common_keys == ("answer", "cot", "id", "question")


def test_rows_without_a_chain_of_thought_are_counted() -> None:
    plain = {"question": "x", "answer": "1"}
    summary = check_upload(file_of(ROW, plain))
    assert [(finding.key, finding.message[:32]) for finding in summary.findings] == [
        (CHAIN_OF_THOUGHT, "1 of 2 rows have no chain of tho")
    ]
    assert summary.common_keys == ("answer", "question")
    assert item_findings(items(plain), SETTINGS)[0].message.startswith("1 of 1 rows")


def test_a_zipped_file_with_a_mark_and_dos_lines_reads_alike(tmp_path: Path) -> None:
    text = "\ufeff" + json.dumps(ROW) + "\r\n" + json.dumps({**ROW, "id": 2}) + "\r\n"
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert [item.item_id for item in read_items(str(path), SETTINGS)] == ["a-1", "2"]


def test_a_row_that_lacks_what_the_template_names_is_named() -> None:
    with pytest.raises(
        InvalidInput, match=r"line 2, key `question`: is missing or null, but pinetune\.dataset\.prompt"
    ):
        items(ROW, {"answer": "1"})


def test_a_plain_row_needs_a_template() -> None:
    with pytest.raises(InvalidInput, match=r"line 1: the row has no `messages`; say in pinetune\.dataset\.prompt"):
        items(ROW, settings=DatasetSettings())


def test_a_prompt_that_is_the_same_for_all_rows_is_refused() -> None:
    with pytest.raises(InvalidInput, match="every prompt would be the same"):
        items(ROW, settings=DatasetSettings(prompt="Answer!"))


def test_a_prompt_must_end_where_the_model_speaks() -> None:
    with pytest.raises(InvalidInput, match="line 1, key `messages`: the last message before the answer"):
        items({"messages": [{"role": "system", "content": "Hello."}]})


def test_a_deleted_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_items(str(tmp_path / "gone.jsonl"), SETTINGS)


def test_shared_prompts_and_answers_are_counted() -> None:
    training = items({"question": "a  b", "answer": "NF1"}, {"question": "c", "answer": "TP53"})
    validation = items({"id": "v1", "question": "a b ", "answer": "nf1"}, {"question": "d", "answer": "ABL1"})
    shared = overlap(training, validation)
    assert (shared.shared_prompt_ids, shared.shared_answers, shared.validation_answer_count) == (("v1",), ("nf1",), 2)


def test_shared_prompts_are_refused_unless_allowed_and_answers_only_when_asked() -> None:
    same = items({"question": "a", "answer": "NF1"})
    other = items({"question": "b", "answer": "NF1"})
    with pytest.raises(
        InvalidInput, match="validation_file: 1 of 1 items have a prompt that is also in training: row-1"
    ):
        refuse_overlap(same, same, SETTINGS)
    refuse_overlap(same, same, DatasetSettings(refuse_prompt_overlap=False))
    refuse_overlap(same, other, SETTINGS)
    with pytest.raises(InvalidInput, match="validation_file: 1 of 1 reference answers are also in training: NF1"):
        refuse_overlap(same, other, DatasetSettings(refuse_answer_overlap=True))


@pytest.mark.parametrize("reference", [{}, {"answer": None}, {"answer": " "}], ids=["absent", "null", "blank"])
def test_answers_that_are_to_be_compared_must_be_there(reference: dict[str, Any]) -> None:
    rows = items(ROW, {"question": "b", "gene": "NF1", **reference})
    refuse_missing_references(rows, SETTINGS)
    with pytest.raises(InvalidInput) as caught:
        refuse_missing_references(rows, DatasetSettings(refuse_answer_overlap=True))
    assert caught.value.message.startswith(
        "line 2, key `answer`: is missing or empty, but pinetune.dataset.refuse_answer_overlap compares it; "
        f"the row has {', '.join(sorted({'question', 'gene', *reference}))}; "
        "name the right one in pinetune.dataset.reference"
    )
    assert (caught.value.reason, caught.value.metadata["line"]) == ("REFERENCE_MISSING", "2")


@pytest.mark.parametrize("name", ["svamp/train.jsonl", "rare_disease/demo_train.jsonl.gz", "law/train.jsonl"])
def test_real_files_pass(shared_data: Path, name: str) -> None:
    prompt = "{{item.case_report}}" if "rare" in name else "{{item.question}}"
    with (shared_data / name).open("rb") as file:
        summary = check_upload(file)
    read = read_items(str(shared_data / name), DatasetSettings(prompt=prompt))
    assert len(read) == summary.row_count
    assert all(item.reference for item in read)
