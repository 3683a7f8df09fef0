import os
from pathlib import Path

import pytest

from pinetune.cli.yaml_files import Json, read_object, read_text
from pinetune.pod.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("1:30", "1:30"),
        ("No", "No"),
        ("yes", "yes"),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("2026-01-01", "2026-01-01"),
        ("'1'", "1"),
        ("nano", "nano"),
        (".inf", ".inf"),
        ("[Yes, No, 1]", ["Yes", "No", 1]),
        ("{a: {b: 2}}", {"a": {"b": 2}}),
    ],
)
def test_values_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: Json) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(f"key: {text}\n")
    found = read_object(path)
    assert found == {"key": value}
    assert type(found["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: [1, 2\n", 3, "expected"),
        ("a: 1\n  b: 2\n", 2, "mapping values are not allowed"),
        ("a: 1\nc: 2\na: 3\n", 3, "'a' is there twice"),
        ("a:\n\t- 1\n", 2, "cannot start any token"),
    ],
    ids=["unclosed", "indentation", "twice", "tab"],
)
def test_a_fault_names_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=words) as raised:
        read_object(path)
    assert str(raised.value).startswith(f"{path}:{line}:")


def test_json_is_read_with_its_tabs(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text('{\n\t"a": [1, 2.5, "x"]\n}')
    assert read_object(path) == {"a": [1, 2.5, "x"]}


@pytest.mark.parametrize(("text", "words"), [("- 1\n- 2\n", "not a list"), ("", "not nothing"), ("word", "not 'word'")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=words):
        read_object(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.yaml: no such file"):
        read_object(tmp_path / "nowhere.yaml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(InvalidInput, match="not UTF-8 at byte 3"):
        read_object(path)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", '{"a": 1, "a": 2}', "'a' occurs twice"),
        ("a.json", '{"a": NaN}', "NaN is not a number"),
        ("a.json", '{"a": ' + "[" * 100_000, "nested too deeply"),
        ("a.yaml", "a: " + "[" * 100_000, "nested too deeply"),
        ("a.yaml", "reference: {{item.answer}}", 'a template stands in quotes: "{{item.answer}}"'),
    ],
    ids=["twice", "NaN", "deep JSON", "deep YAML", "no quotes"],
)
def test_what_people_get_wrong_is_said_in_one_sentence(tmp_path: Path, name: str, text: str, words: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        read_object(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}', encoding="utf-8-sig")
    assert read_object(path) == {"a": 1}


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["unix", "windows", "old mac"])
def test_lines_end_as_every_system_ends_them(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "grader.py"
    path.write_bytes(b"one" + end + b"two" + end)
    assert read_text(path) == "one\ntwo\n"


def test_a_pipe_is_read_whole() -> None:
    end, begin = os.pipe()
    os.write(begin, b"model: nano\r\nseed: 1\n")
    os.close(begin)
    try:
        assert read_object(Path(f"/dev/fd/{end}")) == {"model": "nano", "seed": 1}
    finally:
        os.close(end)
