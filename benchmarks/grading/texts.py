"""The texts that are graded: from the shared data where it lies beside the repository, else made from a seed."""

import gzip
import json
import os
import random
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.grading.comparison import Answers

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED_DATA = Path(os.environ.get("PINETUNE_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
GROUP_SIZE = 8
"""Answers to one question, as in a group of GRPO."""
SHORTEST, LONGEST = 50, 2000
"""Characters of a free text."""
MADE_TEXT = (
    "the stall sells fresh eggs and takes in every day so over all days of the season it earns more than the family "
    "pays for feed straw and repairs which leaves a small profit of about $1,240.50 (12%) before taxes are due"
)


def rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of a shared data file; none where it is not there."""
    path = SHARED_DATA / name
    if not path.exists():
        return []
    written = path.read_bytes()
    text = gzip.decompress(written) if path.suffix == ".gz" else written
    return [json.loads(line) for line in text.decode().splitlines() if line]


@cache
def sentences() -> Sequence[str]:
    """Return sentences of word problems, case reports and law; made ones without the shared data."""
    texts = [row["cot"] for row in rows("gsm8k/test.jsonl")]
    texts += [row["case_report"] for row in rows("rare_disease/demo_validation.jsonl")]
    texts += [row["question"] for row in rows("law/test.jsonl")]
    if not texts:
        print(f"no shared data in {SHARED_DATA}: free texts are made from a seed")
        draw = random.Random(0)
        return [" ".join(draw.choices(MADE_TEXT.split(), k=draw.randint(5, 40))) + "." for _ in range(2000)]
    return [sentence for text in texts for sentence in text.replace("\n", ". ").split(". ") if sentence]


def free_texts(count: int, shortest: int = SHORTEST, longest: int = LONGEST, group: int = 1) -> Answers:
    """Return texts of `shortest` to `longest` characters, short ones as common as long ones.

    Every other text is the reference with a fifth of its words taken from elsewhere; the others are about as long and
    unlike it.
    """
    draw = random.Random(longest)
    texts: list[str] = []
    references: list[str] = []
    for place in range(count):
        if place % group == 0:
            length = int(shortest * (longest / shortest) ** draw.random())
            reference = _text(draw, length)
        text = _text(draw, int(length * draw.uniform(0.7, 1.3)))
        if place % 2:
            other = text.split() or ["x"]
            text = " ".join(draw.choice(other) if draw.random() < 0.2 else word for word in reference.split())
        texts.append(text[:longest])
        references.append(reference)
    return Answers(texts, references)


def _text(draw: random.Random, length: int) -> str:
    text = ""
    while len(text) < length:
        text += draw.choice(sentences()) + ". "
    return text[:length].strip() or "x"


def solutions(count: int) -> Answers:
    """Return worked solutions of word problems that end in `#### number`, a third of them wrong, in groups."""
    draw = random.Random(1)
    problems = _problems()
    texts: list[str] = []
    references: list[str] = []
    steps, answer = "", ""
    for place in range(count):
        if place % GROUP_SIZE == 0:
            steps, answer = next(problems)
        said = answer if draw.random() < 2 / 3 else str(int(answer) + draw.randint(1, 9))
        marked = f"{int(said):,}" if draw.random() < 0.5 else said
        texts.append(f"{steps}\n#### {marked}")
        references.append(answer)
    return Answers(texts, references)


def _problems() -> Iterator[tuple[str, str]]:
    shared = [row for row in rows("gsm8k/test.jsonl") if row["answer"].lstrip("-").isdigit()]
    draw = random.Random(2)
    while True:
        for row in shared:
            yield row["cot"].rsplit("\n", 1)[0], row["answer"]
        if not shared:
            price, days, spent = draw.randint(2, 90), draw.randint(3, 400), draw.randint(1, 50)
            yield _made_solution(price, days, spent), str(price * days - spent)


def _made_solution(price: int, days: int, spent: int) -> str:
    return (
        f"Each day the stall sells fresh eggs and takes in ${price}, so over all {days} days of the season it takes in "
        f"{price} * {days} = ${price * days:,}.\nFrom that the family pays ${spent} for feed and straw, which leaves "
        f"{price * days:,} - {spent} = ${price * days - spent:,}."
    )


def latex_answers(count: int) -> Answers:
    """Return solutions that end in a boxed expression, a third of them wrong, half of them written otherwise."""
    draw = random.Random(3)
    texts: list[str] = []
    references: list[str] = []
    for _ in range(count):
        a, b, c = draw.randint(1, 40), draw.randint(2, 40), draw.randint(2, 9)
        reference, otherwise, wrong = draw.choice(
            [
                (f"\\frac{{{a}}}{{{b}}}", f"\\dfrac{{{a * c}}}{{{b * c}}}", f"\\frac{{{a + 1}}}{{{b}}}"),
                (f"{a}\\sqrt{{{c}}}", f"\\sqrt{{{c}}} \\cdot {a}", f"{a}\\sqrt{{{c + 1}}}"),
                (f"x^2 + {a}x + {b}", f"{b} + {a}x + x^2", f"x^2 + {a}x - {b}"),
                (f"(x + {a})(x - {b})", f"(x - {b})(x + {a})", f"(x + {a})(x + {b})"),
                (f"({a}, {a + b}]", f"({a},{a + b}]", f"[{a}, {a + b}]"),
                (f"\\{{{a}, {a + b}\\}}", f"\\{{{a + b}, {a}\\}}", f"\\{{{a}, {a + c + b}\\}}"),
                (f"{a}\\pi", f"\\pi \\cdot {a}", f"{a + 1}\\pi"),
                (str(a * b * 100), f"{a * b * 100:,}", str(a * b * 100 + c)),
            ]
        )
        said = wrong if draw.random() < 1 / 3 else draw.choice([reference, otherwise])
        texts.append(f"{_text(draw, 200)} So the result is $\\boxed{{{said}}}$.")
        references.append(reference)
    return Answers(texts, references)


def gene_lists(count: int) -> Answers:
    """Return answers that list up to five genes in order, the right one often among them."""
    draw = random.Random(4)
    genes = sorted({row["answer"] for row in rows("rare_disease/full_validation.jsonl")})
    genes = genes or [f"GEN{number}A" for number in range(200)]
    texts: list[str] = []
    references: list[str] = []
    for place in range(count):
        right = genes[place // GROUP_SIZE % len(genes)]
        listed = draw.sample(genes, draw.randint(1, 5))
        if draw.random() < 0.7:
            listed[draw.randrange(len(listed))] = right
        texts.append("\n".join(f"{rank}. {gene}" for rank, gene in enumerate(listed, 1)))
        references.append(right)
    return Answers(texts, references)
