"""Writes SVAMP in ReFT's setting as pinetune reads it: MAWPS and ASDiv-A to train on, SVAMP's own problems as the test.

ReFT's P-CoT is a Python program, `n1 = 76`, `n2 = 25`, `result = n1 - n2`, whose value is the answer. At nano size the
program is one arithmetic expression, and its variables stand in the question already, as `number0` and `number1` do in
the authors' files, so that the story can be read without its numbers:

    each pack costs A dollars . if there is a discount of B dollars , how much do you have to pay for each pack ?
    a 76; b 25;
    ─► a 76 - b 25
       The answer is 76 - 25.

The grader takes the value of the last line. The list has small letters, so that what follows one there is its number.

    from=https://raw.githubusercontent.com/arkilpatel/SVAMP/689d7ccac74b9983a2ac7cc3b264f441b99e7c53/data
    curl -L --remote-name-all $from/mawps-asdiv-a_svamp/{train,dev}.csv
    python examples/svamp/prepare.py train.csv dev.csv --out examples/svamp/data

Reads the authors' CSV, and JSON Lines whose rows have `id`, `question`, `answer` and, in training, a program in `cot`.

A reinforcement job has few chains of thought and many answers: `--thoughts` is the share of training problems that keep
theirs. Each training problem is also told with other numbers (`--redraws`): as many digits, in the same order of size,
an answer of the same kind. Validation and test are told once. SVAMP: Patel, Bhattamishra and Goyal, NAACL 2021; MIT
licence.
"""

import argparse
import ast
import csv
import json
import operator
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

VALIDATION_SHARE = 0.1
ASSIGNMENT = re.compile(r"^\s*(n\d+|result) = (.+)$", re.MULTILINE)
NUMBERED = re.compile(r"number(\d+)")
WORD = re.compile(r"[a-z]{4,}")
LETTER = re.compile(r"[A-P]")
LETTERS = "ABCDEFGHIJKLMNOP"
NUMBER = re.compile(r"\d+(?:\.\d+)?")
TOLERANCE = Fraction(1, 100)
"""As the job's grader: the authors round answers to it."""
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
    """A word problem with letters for its numbers."""

    id: str
    """Unique."""
    story: str
    """Story and question, `A` for the first number."""
    numbers: tuple[str, ...]
    """The numbers, in the order of the letters."""
    expression: str
    """What to calculate, over letters and constants; empty for a test problem that has none."""
    answer: str
    """The number."""

    @property
    def value(self) -> Fraction | None:
        """The expression's value; None where it divides by zero."""
        return value(self.told(self.expression))

    def told(self, text: str) -> str:
        """Return a text with the numbers for the letters."""
        return LETTER.sub(lambda letter: self.numbers[LETTERS.index(letter.group())], text)

    def row(self, *, thought: bool) -> dict[str, str]:
        """Return the line of the data set, with or without the chain of thought."""
        listed = {letter: f"{letter.lower()} {one}" for letter, one in zip(LETTERS, self.numbers, strict=False)}
        question = f"{self.story}\n{' '.join(f'{one};' for one in listed.values())}"
        row = {"id": self.id, "question": question, "answer": self.answer}
        if thought:
            plan = LETTER.sub(lambda letter: listed[letter.group()], self.expression)
            row["cot"] = f"{plan}\nThe answer is {self.told(self.expression)}."
        return row


def main() -> None:
    """Read the sources and write train.jsonl, validation.jsonl and test.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", type=Path, help="train.csv of mawps-asdiv-a_svamp, or JSON Lines with programs")
    parser.add_argument("test", type=Path, help="dev.csv of mawps-asdiv-a_svamp, or JSON Lines")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data", help="folder to write")
    parser.add_argument("--seed", type=int, default=1, help="seed of the split, the thoughts and the redraws")
    parser.add_argument("--thoughts", type=float, default=0.15, help="share of training problems with a thought")
    parser.add_argument("--redraws", type=int, default=15, help="times that a problem is told with other numbers")
    arguments = parser.parse_args()
    usable = [problem for problem in read(arguments.training) if is_right(problem)]
    training, validation = split(usable, share=VALIDATION_SHARE, seed=arguments.seed)
    draw = random.Random(arguments.seed)
    thoughtful = {one.id for one in draw.sample(training, round(arguments.thoughts * len(training)))}
    rows = {
        "train": [
            copy.row(thought=problem.id in thoughtful)
            for problem in training
            for copy in (problem, *redrawn(problem, arguments.redraws, random.Random(f"{arguments.seed}/{problem.id}")))
        ],
        "validation": [problem.row(thought=False) for problem in validation],
        "test": [problem.row(thought=False) for problem in read(arguments.test)],
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, lines in rows.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (arguments.out / f"{name}.jsonl").write_text(text, encoding="utf-8")
        print(f"{name}: {len(lines)} problems")
    print(f"{len(training)} training problems, {len(thoughtful)} of them with a chain of thought")


def read(path: Path) -> Iterator[Problem]:
    """Yield the problems of a file; one whose text was there already is left out."""
    seen = set()
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            problems = (of_csv(f"{path.stem}-{place}", row) for place, row in enumerate(csv.DictReader(file), start=1))
        else:
            problems = (of_program(row) for row in map(json.loads, file))
        for problem in problems:
            if (problem.story, problem.numbers) not in seen:
                seen.add((problem.story, problem.numbers))
                yield problem


def of_csv(name: str, row: Mapping[str, str]) -> Problem:
    """Read a row of the authors' file: `Question` has `number0`, `Equation` is `- number0 * number1 number2`."""
    symbols = iter(NUMBERED.sub(_letter, row["Equation"]).split())
    story = NUMBERED.sub(_letter, row["Question"].lower())
    numbers = tuple(idle(one) for one in row["Numbers"].split())
    return Problem(name, story, numbers, infix(symbols), idle(row["Answer"]))


def of_program(row: Mapping[str, str]) -> Problem:
    """Read a row whose chain of thought is a program: `n1 = 76`, `n2 = 25`, `result = n1 - n2`."""
    numbers = tuple(dict.fromkeys(NUMBER.findall(row["question"])))
    letters = dict(zip(numbers, LETTERS, strict=False))
    marked = re.sub(r"\s*([.,?!;](?!\d))", r" \1", row["question"].lower())
    values = dict(ASSIGNMENT.findall(row.get("cot", "").rpartition('"""')[2]))
    written = re.sub(r"n\d+", lambda name: values[name.group()], values.get("result", ""))
    story, expression = (
        NUMBER.sub(lambda one: letters.get(one.group(), one.group()), text) for text in (marked, written)
    )
    return Problem(row["id"], story, numbers, without_outer_parentheses(expression), idle(row["answer"]))


def infix(symbols: Iterator[str], *, outer: bool = True) -> str:
    """Read an expression whose operators stand in front."""
    symbol = next(symbols)
    if symbol not in "+-*/":
        return idle(symbol)
    text = f"{infix(symbols, outer=False)} {symbol} {infix(symbols, outer=False)}"
    return text if outer else f"({text})"


def without_outer_parentheses(expression: str) -> str:
    """Return `(A + B) - C` for `((A + B) - C)`."""
    depth = 0
    for position, character in enumerate(expression):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            wrapped = 0 < position == len(expression) - 1
            return expression[1:-1] if wrapped else expression
    return expression


def idle(text: str) -> str:
    """Return a number without an idle fraction."""
    return text.removesuffix(".0")


def _letter(numbered: re.Match[str]) -> str:
    return LETTERS[int(numbered[1])]


def is_right(problem: Problem) -> bool:
    """Return whether the expression has the answer as its value; in nine of the authors' rows it has not."""
    found = problem.value
    return found is not None and abs(found - Fraction(problem.answer)) <= TOLERANCE


def redrawn(problem: Problem, count: int, draw: random.Random) -> Iterator[Problem]:
    """Yield the problem with other numbers, at most `count` times; only if all its numbers are whole."""
    if not all(one.isdecimal() for one in (*problem.numbers, problem.answer)):
        return
    sizes = sorted({int(one) for one in problem.numbers})
    seen = {problem.numbers}
    for copy in range(1, count + 1):
        for _ in range(REDRAW_TRIES):
            drawn = [draw.randrange(10 ** (len(str(one)) - 1), 10 ** len(str(one))) for one in sizes]
            other = dict(zip(sizes, drawn, strict=True))
            numbers = tuple(str(other[int(one)]) for one in problem.numbers)
            told = replace(problem, id=f"{problem.id}-{copy}", numbers=numbers)
            answer = told.value
            whole = answer is not None and answer > 0 and answer.denominator == 1
            if whole and drawn == sorted(set(drawn)) and numbers not in seen:
                seen.add(numbers)
                yield replace(told, answer=str(answer))
                break


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

    Many problems are variations of each other; split by chance, validation would be known from training.
    """
    groups: list[list[Problem]] = []
    words: list[list[set[str]]] = []
    for problem in problems:
        own = set(WORD.findall(problem.story.lower()))
        near = next((place for place, group in enumerate(words) if _shares_half(own, group)), len(groups))
        if near == len(groups):
            groups.append([])
            words.append([])
        groups[near].append(problem)
        words[near].append(own)
    random.Random(seed).shuffle(groups)
    rest: list[Problem] = []
    off: list[Problem] = []
    for group in groups:
        (off if len(off) + len(group) <= share * len(problems) else rest).extend(group)
    return rest, off


def _shares_half(words: set[str], group: Iterable[set[str]]) -> bool:
    return any(2 * len(words & other) >= max(len(words), len(other)) for other in group)


if __name__ == "__main__":
    main()
