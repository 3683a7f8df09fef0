"""Writes SVAMP as pinetune reads it: question, number answer, and an expression as the chain of thought.

ReFT's P-CoT is a Python program whose value is the answer. At nano size the program is one arithmetic expression over
the numbers of the question, `The answer is 76 - 25.`, and the grader takes its value.

    curl -LO https://raw.githubusercontent.com/arkilpatel/SVAMP/689d7ccac74b9983a2ac7cc3b264f441b99e7c53/SVAMP.json
    python examples/svamp/prepare.py SVAMP.json --out examples/svamp/data

Takes the authors' `SVAMP.json`, or a folder with `train_pcot.jsonl` and `test.jsonl` whose rows have `question`,
`answer` and, in training, a program in `cot`. SVAMP: Patel, Bhattamishra and Goyal, NAACL 2021; MIT licence.
"""

import argparse
import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

VALIDATION_SHARE = 0.2
ASSIGNMENT = re.compile(r"^\s*(n\d+|result) = (.+)$", re.MULTILINE)
WORD = re.compile(r"[a-z]{4,}")


@dataclass(frozen=True)
class Problem:
    """One row of the data set."""

    id: str
    """Unique."""
    question: str
    """Story and question."""
    answer: str
    """The number."""
    cot: str
    """The chain of thought; empty for test rows without one."""


def main() -> None:
    """Read the source and write train.jsonl, validation.jsonl and test.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="SVAMP.json, or a folder with train_pcot.jsonl and test.jsonl")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data", help="folder to write")
    parser.add_argument("--seed", type=int, default=1, help="seed of the split")
    arguments = parser.parse_args()
    if arguments.source.is_dir():
        training = [of_program(row) for row in read_lines(arguments.source / "train_pcot.jsonl")]
        test = [of_program(row) for row in read_lines(arguments.source / "test.jsonl")]
    else:
        problems = [of_source(row) for row in json.loads(arguments.source.read_text(encoding="utf-8"))]
        training, test = split(problems, share=0.25, seed=arguments.seed)
    training, validation = split(training, share=VALIDATION_SHARE, seed=arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, problems in (("train", training), ("validation", validation), ("test", test)):
        write_lines(arguments.out / f"{name}.jsonl", problems)
        print(f"{name}: {len(problems)} problems")


def of_source(row: dict[str, object]) -> Problem:
    """Read a row of the authors' file: `Equation` is `( 76.0 - 25.0 )`."""
    body, question = str(row["Body"]).strip(), str(row["Question"]).strip()
    joined = f"{body}, {question}" if body[-1:] not in ".?!" else f"{body} {question}"
    expression = re.sub(r"(\d+)\.0\b", r"\1", str(row["Equation"]))
    return Problem(str(row["ID"]), joined, number(str(row["Answer"])), thought(expression))


def of_program(row: dict[str, object]) -> Problem:
    """Read a row whose chain of thought is a program: `n1 = 76`, `n2 = 25`, `result = n1 - n2`."""
    values = dict(ASSIGNMENT.findall(str(row.get("cot", "")).rpartition('"""')[2]))
    expression = re.sub(r"n\d+", lambda name: values[name.group()], values.get("result", ""))
    chain = thought(expression) if expression else ""
    return Problem(str(row["id"]), str(row["question"]), number(str(row["answer"])), chain)


def thought(expression: str) -> str:
    """Return the chain of thought of an expression, without outer parentheses and idle spaces."""
    text = re.sub(r"\(\s+", "(", re.sub(r"\s+\)", ")", expression.strip()))
    # Both sources wrap every operation, so an outer pair belongs together where there is one.
    return f"The answer is {text[1:-1] if text.startswith('(') and text.endswith(')') else text}."


def number(text: str) -> str:
    """Return a number without an idle fraction."""
    return text.removesuffix(".0")


def split(problems: Sequence[Problem], *, share: float, seed: int) -> tuple[list[Problem], list[Problem]]:
    """Split off about `share` of the problems, stories that share half their words kept together.

    SVAMP's problems are variations of each other; split by chance, validation would be known from training.
    """
    groups: list[list[Problem]] = []
    for problem in problems:
        words = set(WORD.findall(problem.question.lower()))
        near = next((group for group in groups if _shares_half(words, group)), None)
        if near is None:
            groups.append([problem])
        else:
            near.append(problem)
    random.Random(seed).shuffle(groups)
    rest: list[Problem] = []
    off: list[Problem] = []
    for group in groups:
        (off if len(off) < share * len(problems) else rest).extend(group)
    return rest, off


def _shares_half(words: set[str], group: Sequence[Problem]) -> bool:
    return any(
        2 * len(words & other) >= max(len(words), len(other))
        for other in (set(WORD.findall(problem.question.lower())) for problem in group)
    )


def read_lines(path: Path) -> Iterable[dict[str, object]]:
    """Yield the rows of a JSON Lines file."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def write_lines(path: Path, problems: Iterable[Problem]) -> None:
    """Write a JSON Lines file; an empty chain of thought is left out."""
    with path.open("w", encoding="utf-8") as file:
        for problem in problems:
            row = {key: value for key, value in asdict(problem).items() if value}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
