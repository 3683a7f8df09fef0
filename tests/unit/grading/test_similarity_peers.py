"""Text similarity against the packages that people know it from: rapidfuzz, sacrebleu, rouge-score and nltk."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from nltk.stem.porter import PorterStemmer
from nltk.translate.gleu_score import sentence_gleu
from nltk.translate.meteor_score import single_meteor_score
from rapidfuzz import fuzz
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.grading import graders

WORDS = [
    "the",
    "a",
    "clip",
    "clips",
    "Natalia",
    "sold",
    "selling",
    "sells",
    "half",
    "48",
    "48+24",
    "1,200",
    "3.5",
    "$12",
    "50%",
    "earned",
    "earning",
    '"yes"',
    "(no)",
    "it's",
    "well-known\nhalf-hour",
    "5-6",
    "U.S.",
    "e.g.",
    "...",
    "wait,what",
    ".5",
    "x=3/4",
    "&amp;",
    "&lt;b&gt;",
    "<skipped>",
    "state-\n-of",
    "caresses",
    "ponies",
    "flies",
    "died",
    "agreed\nplastered",
    "hopping",
    "falling",
    "hoping",
    "happy",
    "enjoy",
    "relational",
    "conditional",
    "generalization",
    "digitizer",
    "radically",
    "triplicate\nformative",
    "electricity",
    "hopefulness",
    "revival",
    "allowance",
    "replacement",
    "adoption",
    "probate",
    "rate",
    "controlling",
    "news",
    "skies\nby",
]
FOREIGN = [
    "café",
    "naïve",
    "ΣΑΣ",
    "straße",
    "日本",
    "Ünïcode",
    "«x»",
    "½",
    "\u2009",
    "\x1c",
    "😀",
    "cafés",
    "A.é",
    "é,5",
    "5.é",
]
METEOR_WORDS = ["conditional", "conditions", "conditioned", "run", "running", "runs", "the", "The", "fly", "flies", "."]
PAIRS = 300
TOLERANCE = 1e-12
tokens_13a = Tokenizer13a()


class NoSynonyms:
    """A dictionary in the place of WordNet, without a word."""

    def synsets(self, word: str) -> list[str]:
        return []


NO_SYNONYMS: Any = NoSynonyms()


def tokens(text: str) -> list[str]:
    return str(tokens_13a(text.rstrip())).split()


def pairs(words: Sequence[str], seed: int) -> list[tuple[str, str]]:
    """References and texts, half of the texts made from the reference."""
    draw = random.Random(seed)
    made = []
    for number in range(PAIRS):
        reference = draw.choices(words, k=draw.randint(1, 60))
        text = draw.choices(words, k=draw.randint(0, 60))
        if number % 2:
            start = draw.randint(0, len(reference))
            text = [
                draw.choice(words) if draw.random() < 0.2 else word for word in reference[start:] + reference[:start]
            ]
        made.append((" ".join(["x", *reference]), draw.choice(["", " ", "\n"]).join(["", " ".join(text), ""])))
    return made


def scores(metric: str, compared: Sequence[tuple[str, str]]) -> list[float]:
    grader = {
        "type": "text_similarity",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "evaluation_metric": metric,
    }
    request = wire.GradeRequest(
        grader=wire.GraderSpec(json=json.dumps(grader)),
        items_json=[json.dumps({"answer": reference}) for reference, _ in compared],
        output_texts=[text for _, text in compared],
    )
    reply = wire.GradeResponse.FromString(graders.grade(request.SerializeToString()).reply)
    assert all(grade.WhichOneof("outcome") == "score" for grade in reply.grades)
    return [grade.score for grade in reply.grades]


def bleu(reference: str, text: str) -> float:
    return float(BLEU(effective_order=True).sentence_score(text, [reference]).score) / 100


def gleu(reference: str, text: str) -> float:
    return float(sentence_gleu([tokens(reference)], tokens(text)))


def meteor(reference: str, text: str) -> float:
    return float(single_meteor_score(tokens(reference), tokens(text), stemmer=PorterStemmer(), wordnet=NO_SYNONYMS))


def rouge(name: str) -> Callable[[str, str], float]:
    scorer = RougeScorer([name])
    return lambda reference, text: float(scorer.score(reference, text)[name].fmeasure)


PEERS: dict[str, Callable[[str, str], float]] = {
    "fuzzy_match": lambda reference, text: fuzz.ratio(reference, text) / 100,
    "bleu": bleu,
    "gleu": gleu,
    "meteor": meteor,
    **{f"rouge_{order}": rouge(f"rouge{order}") for order in range(1, 6)},
    "rouge_l": rouge("rougeL"),
}


@pytest.mark.parametrize("metric", PEERS)
@pytest.mark.parametrize("words", [WORDS, [*WORDS, *FOREIGN], METEOR_WORDS], ids=["words", "unicode", "stems"])
def test_a_metric_is_that_of_the_package(metric: str, words: Sequence[str]) -> None:
    # rouge-score drops letters other than a to z; ours stay.
    is_ascii = metric.startswith("rouge")
    compared = pairs([word for word in words if word.isascii() or not is_ascii], seed=len(words))
    peer = [PEERS[metric](reference, text) for reference, text in compared]
    assert scores(metric, compared) == pytest.approx(peer, abs=TOLERANCE)
