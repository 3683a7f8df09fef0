"""Text similarity: RapidFuzz, rouge-score-rs, rouge-score, bleuscore, sacrebleu and nltk beside ours."""

from collections.abc import Iterator
from typing import Any

from benchmarks.grading.comparison import Answers, Comparison, Score, library
from benchmarks.grading.texts import GROUP_SIZE, free_texts

PAIRS = 1024
FEW = 64
"""Answers for peers that take a hundred microseconds and more each."""
NOT_ENGLISH = "rouge-score drops letters other than a to z; ours stay"
NO_SMOOTHING = "bleuscore gives 0 where some order of n-grams has no match; ours smooths as sacrebleu does"


def grader(metric: str) -> dict[str, Any]:
    """Return the grader of one metric."""
    return {
        "type": "text_similarity",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "evaluation_metric": metric,
    }


def comparisons(workers: int) -> Iterator[Comparison]:
    """Return every metric beside its peers; RapidFuzz takes `workers` threads."""
    mixed = free_texts(PAIRS)
    yield from fuzzy(mixed, workers)
    yield from rouge(mixed)
    yield from translation(mixed)


def fuzzy(mixed: Answers, workers: int) -> Iterator[Comparison]:
    """Letters in common, by lengths of the texts."""
    rapidfuzz, numpy = library("rapidfuzz", "rapidfuzz"), library("numpy", "numpy")
    if rapidfuzz is None or numpy is None:
        return

    def score(texts: Any, references: Any) -> Any:
        ratio = rapidfuzz.fuzz.ratio
        return rapidfuzz.process.cpdist(
            references, texts, scorer=ratio, dtype=numpy.float64, score_multiplier=0.01, workers=workers
        )

    lengths = {
        "mixed": mixed,
        "mixed, in groups": free_texts(PAIRS, group=GROUP_SIZE),
        "40 letters": free_texts(PAIRS, 40, 40),
        "375 letters": free_texts(PAIRS, 375, 375),
        "1,970 letters": free_texts(PAIRS // 4, 1970, 1970),
    }
    for name, answers in lengths.items():
        bar = 3.0 if name == "mixed" else None
        yield Comparison(
            f"fuzzy, {name}",
            grader("fuzzy_match"),
            answers,
            "RapidFuzz cpdist",
            score,
            bar,
            takes_all_cores=True,
        )


def rouge(mixed: Answers) -> Iterator[Comparison]:
    """Words and runs of words in common."""
    scorers = {"rouge-score-rs": library("rouge_score_rs.rouge_scorer", "rouge-score-rs")}
    scorers["rouge-score"] = library("rouge_score.rouge_scorer", "rouge-score")
    for peer, module in scorers.items():
        if module is None:
            continue
        answers = mixed if peer == "rouge-score-rs" else mixed.first(FEW)
        bars = {"rouge1": 1.8} if peer == "rouge-score-rs" else {}
        for name, metric in (("rouge1", "rouge_1"), ("rouge2", "rouge_2"), ("rougeL", "rouge_l")):
            score = _rouge(module.RougeScorer([name]), name)
            yield Comparison(metric, grader(metric), answers, peer, score, bars.get(name), NOT_ENGLISH)


def _rouge(scorer: Any, name: str) -> Score:
    if not hasattr(scorer, "score_batch"):
        return lambda texts, references: [
            scorer.score(reference, text)[name].fmeasure for text, reference in zip(texts, references, strict=True)
        ]
    return lambda texts, references: [pair[name].fmeasure for pair in scorer.score_batch(references, texts)]


def translation(mixed: Answers) -> Iterator[Comparison]:
    """BLEU, GLEU and METEOR."""
    few = mixed.first(FEW)
    bleuscore, sacrebleu = library("bleuscore", "bleuscore"), library("sacrebleu", "sacrebleu")
    if bleuscore is not None:

        def score(texts: Any, references: Any) -> list[float]:
            pairs = zip(texts, references, strict=True)
            return [bleuscore.compute([[right]], [text], max_order=4, smooth=False)["bleu"] for text, right in pairs]

        yield Comparison("bleu", grader("bleu"), mixed, "bleuscore", score, 8.0, NO_SMOOTHING)
    if sacrebleu is not None:
        bleu = sacrebleu.metrics.BLEU(effective_order=True)

        def sentence(texts: Any, references: Any) -> list[float]:
            pairs = zip(texts, references, strict=True)
            return [bleu.sentence_score(text, [right]).score / 100 for text, right in pairs]

        yield Comparison("bleu", grader("bleu"), few, "sacrebleu", sentence)
    if library("nltk", "nltk") is not None and sacrebleu is not None:
        yield from _nltk(few)


class NoSynonyms:
    """A dictionary in the place of WordNet, without a word."""

    def synsets(self, word: str) -> list[str]:
        """Return no meaning."""
        return []


def _nltk(few: Answers) -> Iterator[Comparison]:
    from nltk.stem.porter import PorterStemmer
    from nltk.translate.gleu_score import sentence_gleu
    from nltk.translate.meteor_score import single_meteor_score
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    cut, stemmer, dictionary = Tokenizer13a(), PorterStemmer(), NoSynonyms()

    def tokens(text: str) -> list[str]:
        return str(cut(text.rstrip())).split()

    def gleu(texts: Any, references: Any) -> list[float]:
        pairs = zip(texts, references, strict=True)
        return [float(sentence_gleu([tokens(right)], tokens(text))) for text, right in pairs]

    def meteor(texts: Any, references: Any) -> list[float]:
        pairs = zip(texts, references, strict=True)
        return [
            float(single_meteor_score(tokens(right), tokens(text), stemmer=stemmer, wordnet=dictionary))
            for text, right in pairs
        ]

    yield Comparison("gleu", grader("gleu"), few, "nltk", gleu, 20.0)
    yield Comparison("meteor", grader("meteor"), few, "nltk", meteor, 20.0)
