"""Every job file in the repository is a valid order, and the makers of the examples' data do what they say."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from examples.word_problems import demo

from pinetune.jobs.spec import parse_spec_json

ROOT = Path(__file__).resolve().parents[2]
JOB_FILES = sorted(ROOT.glob("examples/*/*.yaml"))
PLACEHOLDERS = {"${SEED}": "1", "${MAX_COMPUTE_FLOPS}": "1000000000000"}


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


def make(*arguments: str | Path) -> str:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("path", JOB_FILES, ids=[str(path.relative_to(ROOT)) for path in JOB_FILES])
def test_every_job_file_is_a_valid_order(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for placeholder, value in PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    spec = parse_spec_json(json.dumps(yaml.safe_load(text)))
    assert spec.is_nano
    assert spec.grader


def test_there_are_job_files_to_check() -> None:
    assert len(JOB_FILES) >= 4


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("problems")
    maker = ROOT / "examples/word_problems/generate.py"
    make(maker, "--seed", "5", "--train", "300", "--validation", "60", "--test", "60", "--out", folder)
    return folder


def test_word_problems_of_one_seed_are_always_the_same(problems: Path, tmp_path: Path) -> None:
    maker = ROOT / "examples/word_problems/generate.py"
    make(maker, "--seed", "5", "--train", "300", "--validation", "60", "--test", "60", "--out", tmp_path)
    for name in ("train", "validation", "test"):
        assert (tmp_path / f"{name}.jsonl").read_bytes() == (problems / f"{name}.jsonl").read_bytes()


def test_validation_and_test_have_templates_that_training_never_shows(problems: Path) -> None:
    shown = {row["template"] for row in rows_of(problems / "train.jsonl")}
    held_out = {row["template"] for name in ("validation", "test") for row in rows_of(problems / f"{name}.jsonl")}
    assert held_out
    assert not held_out & shown


def test_every_sum_in_a_chain_of_thought_is_right_and_leads_to_the_answer(problems: Path) -> None:
    for row in rows_of(problems / "train.jsonl"):
        for left, right in re.findall(r"([\d+*/ -]+) = (\d+)", row["cot"]):
            # Only digits and signs come here; see the pattern.
            assert eval(left) == int(right), row
        assert row["cot"].endswith(f"The answer is {row['answer']}."), row


@pytest.fixture(scope="module")
def shortlists(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shortlists")
    maker = ROOT / "examples/rare_disease/prepare.py"
    make(maker, shared_data / "rare_disease", "--prompts-per-case", "1", "--out", folder)
    return folder


def test_no_gene_is_in_two_splits(shortlists: Path) -> None:
    splits = ("train", "validation", "test")
    genes = [{row["gene"] for row in rows_of(shortlists / f"{name}.jsonl")} for name in splits]
    assert all(genes)
    for one, other in combinations(genes, 2):
        assert not one & other


def test_a_shortlist_holds_the_right_answer_and_the_prompt_never_names_a_gene(shortlists: Path) -> None:
    for row in rows_of(shortlists / "validation.jsonl"):
        candidates = row["prompt"].split("\nCandidates:")[1]
        assert re.search(rf" {row['answer']}\b", candidates), row["id"]
        assert row["gene"] not in row["prompt"].split(), row["id"]


def test_careful_thoughts_count_right_and_rank_by_the_counts(shortlists: Path) -> None:
    rows = [row for name in ("validation", "test") for row in rows_of(shortlists / f"{name}.jsonl")]
    careful = [row for row in rows if "\n" in row["cot"]]
    assert len(careful) > 100
    for row in careful:
        walk, counts, ranking = row["cot"].splitlines()
        counted = dict(re.findall(r"([A-H]) (\d+)", counts))
        for name, count in counted.items():
            assert len(re.findall(rf"(?: [A-H])* {name}(?= [A-H]|;)(?: [A-H])*;", walk)) == int(count), row["id"]
        order = re.findall(r"\b([A-H])\b", ranking.removeprefix("The answer is"))
        assert [int(counted[name]) for name in order] == sorted(map(int, counted.values()), reverse=True), row["id"]


def test_hasty_thoughts_name_the_right_gene_first_and_every_candidate_once(shortlists: Path) -> None:
    rows = list(rows_of(shortlists / "train.jsonl"))
    hasty = [row for row in rows if "\n" not in row["cot"]]
    assert len(hasty) / len(rows) == pytest.approx(0.6, abs=0.02)
    for row in hasty:
        order = re.findall(r"\b([A-H])\b", row["cot"].removeprefix("The answer is"))
        assert order[0] == row["answer"], row["id"]
        assert sorted(order) == ["A", "B", "C", "D"], row["id"]


@pytest.fixture(scope="module")
def svamp(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("svamp")
    make(ROOT / "examples/svamp/prepare.py", shared_data / "svamp", "--redraws", "3", "--out", folder)
    return folder


def test_every_plan_and_expression_of_svamp_has_the_answer_as_its_value(svamp: Path) -> None:
    rows = [row for row in rows_of(svamp / "train.jsonl") if "cot" in row]
    assert len(rows) > 800
    for row in rows:
        numbers = dict(re.findall(r"([A-P]) ([\d.]+);", row["question"].rpartition("\n")[2]))
        plan, answer = row["cot"].split("\n")
        written = plan
        for letter, number in numbers.items():
            written = written.replace(letter, number)
        assert answer == f"The answer is {written}.", row
        assert re.fullmatch(r"[\d.+*/() -]+", written), row
        assert eval(written) == pytest.approx(float(row["answer"])), row


def test_only_training_problems_of_svamp_are_told_again_and_never_twice_alike(svamp: Path) -> None:
    told_again = {
        name: [row["question"] for row in rows_of(svamp / f"{name}.jsonl") if row["id"].count("-") > 2]
        for name in ("train", "validation", "test")
    }
    assert len(told_again["train"]) > 1000
    assert len(told_again["train"]) == len(set(told_again["train"]))
    assert not told_again["validation"] + told_again["test"]


def test_the_demo_says_which_of_the_two_fine_tuned_models_is_which() -> None:
    evaluations = {name: {"evaluation_id": f"eval-{name}-{number}000"} for number, name in enumerate(demo.RUNS)}
    assert demo.legend(evaluations).splitlines() == [
        "fine_tuned …2000 is supervised only, equal compute (`sft` in result.json)",
        "fine_tuned …3000 is warmed up and then reinforced (`fine_tuned` in result.json)",
    ]
