"""Every job file in the repository is a valid order, and the makers of the examples' data do what they say."""

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from examples.word_problems import demo
from examples.word_problems.engines import Curve, apart

from pinetune.jobs.spec import parse_spec_json

ROOT = Path(__file__).resolve().parents[2]
JOB_FILES = sorted(ROOT.glob("examples/*/*.yaml"))
PLACEHOLDERS = {"${SEED}": "1", "${MAX_COMPUTE_FLOPS}": "1000000000000"}


def rows_of(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


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


def test_hasty_thoughts_judge_by_the_first_finding_and_name_every_candidate_once(shortlists: Path) -> None:
    rows = list(rows_of(shortlists / "train.jsonl"))
    hasty = [row for row in rows if "\n" not in row["cot"]]
    assert len(hasty) / len(rows) == pytest.approx(0.6, abs=0.02)
    for row in hasty:
        order = re.findall(r"\b([A-H])\b", row["cot"].removeprefix("The answer is"))
        patient, shortlist = row["prompt"].split("\nCandidates:")
        finding = patient.removeprefix("Patient: ").split(";")[0]
        sharing = re.findall(rf"(?:^|(?<= [A-H])) {re.escape(finding)} ([A-H])(?= |$)", shortlist)
        assert order == [*sharing, *(name for name in "ABCD" if name not in sharing)], row["id"]


@pytest.fixture(scope="module", params=["csv", "jsonl"])
def svamp(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("svamp")
    sources: tuple[Path, ...]
    if request.param == "csv":
        sources = (folder / "train.csv", folder / "dev.csv")
        sources[0].write_text(CSV_HEAD + "".join(csv_line(number) for number in range(60)), encoding="utf-8")
        sources[1].write_text(CSV_HEAD + csv_line(60), encoding="utf-8")
    else:
        data: Path = request.getfixturevalue("shared_data")
        sources = (data / "svamp/train_pcot.jsonl", data / "svamp/test.jsonl")
    make(ROOT / "examples/svamp/prepare.py", *sources, "--redraws", "3", "--thoughts", "0.5", "--out", folder)
    return folder


CSV_HEAD = "Question,Numbers,Equation,Answer\n"
"""As the authors' files begin; they have more columns."""


def csv_line(number: int) -> str:
    """A problem in the authors' form: words of its own, so that no two are variations of each other."""
    word = "".join(chr(ord("a") + int(digit)) for digit in f"{number:02d}")
    story = f"{3 * word} holds number0 {4 * word} and number1 times number2 {5 * word} ."
    first, second, third = 40 + number, 2 + number % 3, 3
    equation = "- number0 * number1 number2"
    answer = first - second * third + (number == 7)
    return f'"{story}",{first}.0 {second}.0 {third}.0,{equation},{answer}.0\n'


def test_every_plan_and_expression_of_svamp_has_the_answer_as_its_value(svamp: Path) -> None:
    rows = rows_of(svamp / "train.jsonl")
    thoughtful = [row for row in rows if "cot" in row]
    assert 0.4 < len(thoughtful) / len(rows) < 0.6
    for row in thoughtful:
        plan, answer = row["cot"].split("\n")
        written = plan
        for told in re.findall(r"[a-p] [\d.]+(?=;)", row["question"].rpartition("\n")[2]):
            written = written.replace(told, told[2:])
        assert answer == f"The answer is {written}.", row
        assert re.fullmatch(r"[\d.+*/() -]+", written), row
        assert eval(written) == pytest.approx(float(row["answer"]), abs=0.01), row


def test_an_equation_of_svamp_is_read_from_the_operator_in_front(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(CSV_HEAD + csv_line(0) + csv_line(7), encoding="utf-8")
    make(ROOT / "examples/svamp/prepare.py", *[tmp_path / "train.csv"] * 2, "--thoughts", "1", "--out", tmp_path)
    rows = rows_of(tmp_path / "train.jsonl")
    assert rows[0]["cot"] == "a 40 - (b 2 * c 3)\nThe answer is 40 - (2 * 3)."
    assert not any(row["id"].startswith("train-2") for row in rows), "its answer is not its equation's value"


def test_only_training_problems_of_svamp_are_told_again_and_never_twice_alike(svamp: Path) -> None:
    rows = {name: rows_of(svamp / f"{name}.jsonl") for name in ("train", "validation", "test")}
    told = {name: [row["question"] for row in rows[name]] for name in rows}
    stories = {name: {question.rpartition("\n")[0] for question in told[name]} for name in told}
    assert len(told["train"]) == len(set(told["train"])) > 2 * len(stories["train"])
    assert not stories["train"] & stories["validation"]
    assert len(told["validation"]) == len(set(told["validation"])) > 0
    assert not any("cot" in row for row in rows["validation"] + rows["test"])


def test_the_demo_says_which_of_the_two_fine_tuned_models_is_which() -> None:
    evaluations = {name: {"evaluation_id": f"eval-{name}-{number}000"} for number, name in enumerate(demo.RUNS)}
    assert demo.legend(evaluations).splitlines() == [
        "fine_tuned …2000 is supervised only, equal compute (`sft` in result.json)",
        "fine_tuned …3000 is warmed up and then reinforced (`fine_tuned` in result.json)",
    ]


def test_reward_curves_are_as_far_apart_as_their_means_and_as_uncertain_as_the_draws_at_least() -> None:
    def curves(*means: float) -> list[Curve]:
        return [Curve((mean - 0.1, mean + 0.1), sample_count=500, validation={}) for mean in means]

    # 1,000 samples a side of mean 0.5: √(2 · 0.25 / 1000).
    difference, error = apart(curves(0.5, 0.5), curves(0.5, 0.5))
    assert [difference, error] == pytest.approx([0.0, 0.02236], abs=1e-5)
    # Seeds that differ by more than the draws: 0.2 and 0.4, with a standard error of 0.1.
    assert [*apart(curves(0.3, 0.3), curves(0.5, 0.7))] == pytest.approx([0.3, 0.1])
