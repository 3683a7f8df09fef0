"""The vector code that a process works with: chosen once, with the same scores whichever it is."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.grading import graders

def sums():
    for metric in ("fuzzy_match", "rouge_1", "rouge_l"):
        spec = {"type": "text_similarity", "input": "{{sample.output_text}}", "reference": "{{item.answer}}",
                "evaluation_metric": metric}
        texts = ["the quick brown fox " * length + "jumps" for length in range(1, 150, 7)]
        request = wire.GradeRequest(
            grader=wire.GraderSpec(json=json.dumps(spec)),
            items_json=[json.dumps({"answer": text[::-1] + " fox the quick"}) for text in texts],
            output_texts=texts,
        )
        yield graders.grade(request.SerializeToString()).score_sum

import json
try:
    for name in sys.argv[1:]:
        graders.use_instructions(name)
        print(json.dumps(list(sums())))
except RuntimeError as error:
    print(error)
"""


def scores_with(*names: str) -> list[str]:
    """Return what a process of its own prints that chooses `names`, and grades after each."""
    run = subprocess.run([sys.executable, "-c", SCRIPT, *names], check=True, capture_output=True, text=True)
    return run.stdout.splitlines()


def test_every_instruction_set_gives_the_scores_of_the_portable_code() -> None:
    (portable,) = scores_with("portable")
    assert len(json.loads(portable)) == 3
    assert min(json.loads(portable)) > 0.5
    others = {name: scores_with(name)[0] for name in ("avx2", "avx512")}
    lacking = [name for name, said in others.items() if said.startswith("instructions:")]
    assert {said for name, said in others.items() if name not in lacking} <= {portable}
    if len(lacking) == len(others):
        pytest.skip("this processor has neither AVX2 nor AVX-512")


def test_an_unknown_instruction_set_is_refused_with_the_known_ones() -> None:
    (said,) = scores_with("sse9")
    assert said.startswith("instructions: `sse9` is none of those that this processor has: ")
    assert said.endswith("portable")


def test_instructions_are_chosen_once_in_a_process() -> None:
    first, said = scores_with("portable", "avx2")
    assert json.loads(first)
    assert said.startswith("instructions: ")
    assert "avx2" in said or "`portable` already" in said
