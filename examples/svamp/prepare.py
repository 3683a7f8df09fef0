"""Writes SVAMP as pinetune reads it: question, number answer, and an expression as the chain of thought.

ReFT's P-CoT is a Python program, `n1 = 76`, `n2 = 25`, `result = n1 - n2`, whose value is the answer. At nano size the
program is one arithmetic expression, and its variables stand in the question already, as `number0` and `number1` do in
the data of the authors' baselines, so that the story can be read without its numbers:

    Each pack costs A dollars. If there is a discount of B dollars on each pack, how much do you have to pay for each?
    A 76; B 25;
    ─► A - B
       The answer is 76 - 25.

The grader takes the value of the last line.

    curl -LO https://raw.githubusercontent.com/arkilpatel/SVAMP/689d7ccac74b9983a2ac7cc3b264f441b99e7c53/SVAMP.json
    python examples/svamp/prepare.py SVAMP.json --out examples/svamp/data

Takes the authors' `SVAMP.json`, or a folder with `train_pcot.jsonl` and `test.jsonl` whose rows have `question`,
`answer` and, in training, a program in `cot`.

A model made from nothing would learn the few hundred training problems by heart. So each is also told with other
numbers (`--redraws`): as many digits, in the same order of size, an answer of the same kind. Validation and test are
SVAMP's own. SVAMP: Patel, Bhattamishra and Goyal, NAACL 2021; MIT licence.
"""

import argparse
import ast
import json
import operator
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

VALIDATION_SHARE = 0.2
ASSIGNMENT = re.compile(r"^\s*(n\d+|result) = (.+)$", re.MULTILINE)
WORD = re.compile(r"[a-z]{4,}")
LETTERS = "ABCDEFGHIJKLMNOP"
NUMBER = re.compile(r"\d+(?:\.\d+)?")
WHOLE = re.compile(r"(?<![\d.,])\d+(?![\d,]|\.\d)")
REDRAW_TRIES = 50
"""Draws until the numbers give an answer of the right kind; a problem where none does is told once less."""
OPERATIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


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

    @property
    def expression(self) -> str:
        """What the last line of the chain of thought calculates."""
        return self.cot.rpartition("The answer is ")[2].removesuffix(".")


def main() -> None:
    """Read the source and write train.jsonl, validation.jsonl and test.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="SVAMP.json, or a folder with train_pcot.jsonl and test.jsonl")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data", help="folder to write")
    parser.add_argument("--seed", type=int, default=1, help="seed of the split and the redraws")
    parser.add_argument(
        "--redraws", type=int, default=15, help="times that a training problem is told with other numbers"
    )
    arguments = parser.parse_args()
    if arguments.source.is_dir():
        training = [of_program(row) for row in read_lines(arguments.source / "train_pcot.jsonl")]
        test = [of_program(row) for row in read_lines(arguments.source / "test.jsonl")]
    else:
        problems = [of_source(row) for row in json.loads(arguments.source.read_text(encoding="utf-8"))]
        training, test = split(problems, share=0.25, seed=arguments.seed)
    training, validation = split(training, share=VALIDATION_SHARE, seed=arguments.seed)
    training = [
        copy
        for problem in training
        for copy in (problem, *redrawn(problem, arguments.redraws, random.Random(f"{arguments.seed}/{problem.id}")))
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, told in (("train", training), ("validation", validation), ("test", test)):
        problems = [lettered(problem) for problem in told]
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
    return f"The answer is {text[1:-1] if _is_wrapped(text) else text}."


def _is_wrapped(expression: str) -> bool:
    """Return whether the first parenthesis is closed by the last character, and by none before."""
    depth = 0
    for position, character in enumerate(expression):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return position > 0 and position == len(expression) - 1
    return False


def number(text: str) -> str:
    """Return a number without an idle fraction."""
    return text.removesuffix(".0")


def redrawn(problem: Problem, count: int, draw: random.Random) -> Iterator[Problem]:
    """Yield the problem with other numbers, at most `count` times."""
    expression = problem.expression
    numbers = sorted({int(found) for text in (problem.question, expression) for found in WHOLE.findall(text)})
    # Numbers that only the expression has are constants, as the days of a week.
    told = [one for one in numbers if str(one) in WHOLE.findall(problem.question)]
    if not expression or not told:
        return
    questions = {problem.question}
    for copy in range(1, count + 1):
        for _ in range(REDRAW_TRIES):
            drawn = [draw.randrange(10 ** (len(str(one)) - 1), 10 ** len(str(one))) for one in told]
            other = dict(zip(told, drawn, strict=True))
            question, thoughts = (_with(other, text) for text in (problem.question, expression))
            answer = value(thoughts)
            whole = answer is not None and answer > 0 and answer.denominator == 1
            if whole and drawn == sorted(set(drawn)) and question not in questions:
                questions.add(question)
                yield Problem(f"{problem.id}-{copy}", question, str(answer), thought(thoughts))
                break


def lettered(problem: Problem) -> Problem:
    """Return the problem with letters for its numbers, which are listed behind the question."""
    letters: dict[str, str] = {}
    for found in NUMBER.findall(problem.question):
        letters.setdefault(found, LETTERS[len(letters)])

    def written(text: str) -> str:
        return NUMBER.sub(lambda found: letters.get(found.group(), found.group()), text)

    listed = "".join(f" {letter} {found};" for found, letter in letters.items())
    cot = f"{written(problem.expression)}\n{problem.cot}" if problem.cot else ""
    return replace(problem, question=f"{written(problem.question)}\n{listed.strip()}", cot=cot)


def _with(numbers: dict[int, int], text: str) -> str:
    return WHOLE.sub(lambda found: str(numbers.get(int(found.group()), found.group())), text)


def value(expression: str) -> Fraction | None:
    """Return the value of an arithmetic expression; None where it divides by zero."""

    def of(node: ast.expr) -> Fraction:
        if isinstance(node, ast.BinOp):
            return OPERATIONS[type(node.op)](of(node.left), of(node.right))
        return Fraction(ast.unparse(node))

    try:
        return of(ast.parse(expression, mode="eval").body)
    except ZeroDivisionError:
        return None


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
