"""Makes grade-school word problems: question, chain of thought, answer.

A problem is a short story told by a chain of *moves*: a start ("Ava has 7 shells."), changes ("Then she finds 5
more."), a question. Each move does one sum; a story of k sums has difficulty k. A *template* is a fixed chain of moves,
and each move has several wordings. Validation and test use templates that training never shows: the moves are known,
their combination is new. The chain of thought goes through the moves one by one, or, where its writer was in a hurry
(HASTY), says only the answer.

    python generate.py --seed 0 --train 2000 --validation 300 --test 400 --out data
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

LARGEST = 20
"""No number of a story is larger."""

HASTY = 0.6
"""Share of the chains of thought of more than one sum that say only the answer, as people in a hurry do."""

PEOPLE = (
    ("Ava", "she"), ("Ben", "he"), ("Clara", "she"), ("Daniel", "he"), ("Ella", "she"),
    ("Felix", "he"), ("Grace", "she"), ("Hugo", "he"), ("Iris", "she"), ("Jonas", "he"),
    ("Kira", "she"), ("Liam", "he"), ("Maya", "she"), ("Noah", "he"), ("Olga", "she"),
    ("Paul", "he"), ("Rosa", "she"), ("Samir", "he"), ("Tara", "she"), ("Victor", "he"),
)  # fmt: skip
"""Names and their pronouns."""
THINGS = (
    "apples", "shells", "marbles", "stickers", "pencils", "buttons", "stamps", "coins",
    "cards", "books", "beads", "plums", "cookies", "flowers", "balloons", "stones",
)  # fmt: skip
PLACES = ("park", "market", "beach", "school", "library", "garden", "fair", "station")
HOLDERS = ("boxes", "bags", "jars", "baskets", "tins")


@dataclass(frozen=True)
class Move:
    """One sum of a story: how it is told, how it is thought through, what it does to the running number."""

    stories: tuple[str, ...]
    symbol: str
    amount: tuple[int, int]
    """Smallest and largest number that the move brings in."""


@dataclass(frozen=True)
class Template:
    """A fixed chain of moves."""

    name: str
    start: str
    moves: tuple[str, ...]


STARTS: dict[str, tuple[str, ...]] = {
    "own": ("{name} has {n} {things}.", "{name} owns {n} {things}.", "In the room of {name} are {n} {things}."),
    "collect": ("{name} picks up {n} {things} at the {place}.", "At the {place}, {name} gets {n} {things}."),
    "holders": ("{name} has {n} {holders}.", "{name} carries {n} {holders}."),
}
FIRST_AMOUNT = (2, 9)
MOVES = {
    "gain": Move(
        ("Then {they} finds {n} more.", "{friend} gives {name} {n} more.", "Later {they} buys {n} more."), "+", (2, 9)
    ),
    "lose": Move(("Then {they} loses {n}.", "{name} gives {n} to {friend}.", "Later {they} sells {n}."), "-", (2, 9)),
    "fill": Move(("Each of them holds {n} {things}.", "There are {n} {things} in each of them."), "*", (2, 5)),
    "multiply": Move(("{friend} has {n} times as many.", "{friend} owns {n} times as many."), "*", (2, 3)),
    "share": Move(("{name} shares all of them among {n} friends.", "{They} makes {n} equal piles."), "/", (2, 4)),
    "ahead": Move(("{friend} has {n} more than {name}.", "{friend} owns {n} more than {name}."), "+", (2, 9)),
    "behind": Move(("{friend} has {n} fewer than {name}.", "{friend} owns {n} fewer than {name}."), "-", (2, 9)),
}
QUESTIONS = {
    "share": "How many in each?",
    "multiply": "How many does {friend} have?",
    "ahead": "How many does {friend} have?",
    "behind": "How many does {friend} have?",
}
USUAL_QUESTION = "How many {things} now?"


def _templates(chains: str) -> tuple[Template, ...]:
    """One template a line: its start, then its moves."""
    lines = [line.split() for line in chains.strip().splitlines()]
    return tuple(Template("-".join(line), line[0], tuple(line[1:])) for line in lines)


TRAINING = _templates("""
    own gain
    collect gain
    own lose
    collect lose
    own multiply
    collect share
    holders fill
    own ahead
    collect behind
    own gain lose
    collect lose gain
    collect gain gain
    own gain multiply
    own lose share
    collect lose ahead
    own gain behind
    holders fill gain
    holders fill lose
    holders fill share
    own gain lose multiply
    collect lose gain share
    own lose gain ahead
    collect gain lose behind
    holders fill lose ahead
    holders fill gain behind
""")
"""Every pair of neighbouring moves in HELD_OUT stands somewhere in here, but no whole chain of it."""
HELD_OUT = _templates("""
    own lose multiply
    collect gain share
    own gain ahead
    collect lose behind
    holders fill lose gain
    collect gain lose ahead
    own lose gain behind
""")

APPLY: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b if a % b == 0 else -1,
}


@dataclass(frozen=True)
class Problem:
    """One row of a file."""

    question: str
    answer: str
    cot: str
    template: str
    difficulty: int


def draw_numbers(template: Template, rng: random.Random) -> list[tuple[int, int, int]]:
    """The sums of a story, as (before, amount, after). Drawn again until every number is between 1 and LARGEST."""
    while True:
        running = rng.randint(*FIRST_AMOUNT)
        sums = []
        for name in template.moves:
            amount = rng.randint(*MOVES[name].amount)
            after = APPLY[MOVES[name].symbol](running, amount)
            sums.append((running, amount, after))
            running = after
        if all(1 <= after <= LARGEST for _, _, after in sums):
            return sums


def draw_words(rng: random.Random) -> dict[str, str]:
    """Who, what and where: one of each for a whole story."""
    (name, they), (friend, _) = rng.sample(PEOPLE, 2)
    return {
        "name": name,
        "they": they,
        "They": they.capitalize(),
        "friend": friend,
        "things": rng.choice(THINGS),
        "place": rng.choice(PLACES),
        "holders": rng.choice(HOLDERS),
    }


def write_problem(template: Template, rng: random.Random) -> Problem:
    """Tells one story, asks for its end, and thinks it through."""
    words = draw_words(rng)
    sums = draw_numbers(template, rng)
    story = [rng.choice(STARTS[template.start]).format(n=sums[0][0], **words)]
    thoughts = []
    for move_name, (before, amount, after) in zip(template.moves, sums, strict=True):
        move = MOVES[move_name]
        event = rng.choice(move.stories).format(n=amount, **words)
        story.append(event)
        thoughts.append(f"{event[:-1]}: {before} {move.symbol} {amount} = {after}.")
    story.append(QUESTIONS.get(template.moves[-1], USUAL_QUESTION).format(**words))
    answer = str(sums[-1][2])
    if len(sums) > 1 and rng.random() < HASTY:
        thoughts = []
    cot = " ".join([*thoughts, f"The answer is {answer}."])
    return Problem(" ".join(story), answer, cot, template.name, len(sums))


def problems(templates: tuple[Template, ...], count: int, rng: random.Random, seen: set[str]) -> Iterator[Problem]:
    """As many problems as asked for, the templates in turn, no question twice."""
    made = 0
    while made < count:
        problem = write_problem(templates[made % len(templates)], rng)
        if problem.question not in seen:
            seen.add(problem.question)
            made += 1
            yield problem


def write_split(path: Path, split: str, rows: Iterator[Problem]) -> None:
    """Writes one JSON object a line."""
    with path.open("w", encoding="utf-8") as file:
        for index, row in enumerate(rows):
            file.write(json.dumps({"id": f"{split}-{index:05}", **vars(row)}) + "\n")


def main() -> None:
    """Makes the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--validation", type=int, default=300)
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    splits = (("train", TRAINING, args.train), ("validation", HELD_OUT, args.validation), ("test", HELD_OUT, args.test))
    for split, templates, count in splits:
        rng = random.Random(f"{args.seed} {split}")
        write_split(args.out / f"{split}.jsonl", split, problems(templates, count, rng, seen))


if __name__ == "__main__":
    main()
