"""What vLLM samples and scores, against a plain forward of transformers and against our own engine."""

import json
import math
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from tests.unit.generation.tiny_models import (
    BFLOAT16_GAP,
    BFLOAT16_MEAN_GAP,
    bfloat16_gaps,
    plain_logprobs,
    prompts_of,
)
from transformers import AutoModelForCausalLM

from pinetune.generation.conversation import Example, Message
from pinetune.generation.engine import Caller, TokenSequence
from pinetune.generation.samples import AnswerFormat, Prompt, SampledCompletion, SampledTokens, SamplingParams
from pinetune.generation.transformers_engine import EngineOptions, TransformersEngine
from pinetune.pod.errors import Busy, Cancelled, Conflict, InvalidInput

if TYPE_CHECKING:
    from pinetune.generation.vllm_engine import VllmEngine

MakeEngine = Callable[..., "VllmEngine"]
FLOAT32_GAP = 5e-5
PROMPTS = prompts_of(5, 17, 1, 11)


@pytest.fixture(params=["llama", "tied_llama"])
def engine(request: pytest.FixtureRequest, make_engine: MakeEngine) -> "VllmEngine":
    return make_engine(request.param)


@pytest.fixture
def llama(make_engine: MakeEngine) -> "VllmEngine":
    return make_engine("llama")


def transformers_engine(engine: "VllmEngine") -> TransformersEngine:
    return TransformersEngine(EngineOptions(engine.describe().model, threads=1))


def pairs(groups: list[list[SampledCompletion]]) -> list[tuple[Prompt, SampledCompletion]]:
    return [(prompt, one) for prompt, group in zip(PROMPTS, groups, strict=True) for one in group]


def ids_of(groups: list[list[SampledCompletion]]) -> list[list[tuple[int, ...]]]:
    return [[one.token_ids for one in group] for group in groups]


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingParams(max_tokens=20, seed=3),
        SamplingParams(max_tokens=20, seed=3, temperature=0.5, top_k=20, top_p=0.9),
        SamplingParams(max_tokens=20, temperature=0.0),
    ],
    ids=["raw", "cut", "greedy"],
)
def test_logprobs_are_those_of_a_plain_forward(engine: "VllmEngine", sampling: SamplingParams) -> None:
    for prompt, one in pairs(engine.generate(PROMPTS, 3, sampling).groups):
        expected = plain_logprobs(engine.describe().model, prompt.token_ids, one.token_ids)
        assert one.logprobs == pytest.approx(expected, abs=FLOAT32_GAP)
        assert sum(span.token_count for span in one.spans) == len(one.token_ids)


def test_scores_are_the_logprobs_of_what_was_sampled(engine: "VllmEngine") -> None:
    sampled = pairs(engine.generate(PROMPTS, 2, SamplingParams(max_tokens=12)).groups)
    sequences = [TokenSequence(prompt.token_ids, one.token_ids) for prompt, one in sampled]
    # Twice: the second time the prefix cache knows all of them.
    for _ in range(2):
        for (_, one), scored in zip(sampled, engine.score(sequences).logprobs, strict=True):
            assert scored == pytest.approx(one.logprobs, abs=FLOAT32_GAP)


def test_the_longest_sequence_and_none_at_all_are_scored(llama: "VllmEngine") -> None:
    (longest,) = prompts_of(128)
    sequences = [TokenSequence(longest.token_ids[:1], longest.token_ids[1:]), TokenSequence((9,), ())]
    scored = llama.score(sequences).logprobs
    expected = plain_logprobs(llama.describe().model, longest.token_ids[:1], longest.token_ids[1:])
    assert scored == [pytest.approx(expected, abs=FLOAT32_GAP), []]


def test_bfloat16_logprobs_are_those_of_a_plain_bfloat16_forward(make_engine: MakeEngine) -> None:
    engine = make_engine("llama", dtype="bfloat16")
    groups = engine.generate(PROMPTS, 3, SamplingParams(max_tokens=20)).groups
    gaps = bfloat16_gaps(engine.describe().model, pairs(groups))
    assert sum(gaps) / len(gaps) < BFLOAT16_MEAN_GAP
    assert max(gaps) < BFLOAT16_GAP


def test_both_engines_hold_the_same_base_model_and_tokenise_alike(engine: "VllmEngine") -> None:
    ours, other = engine.describe(), transformers_engine(engine).describe()
    assert ours.policy.content_hash == other.policy.content_hash
    for name in ("parameter_count", "vocabulary_size", "max_model_tokens", "dtype", "end_of_turn_token_id"):
        assert getattr(ours, name) == getattr(other, name)
    examples = [Example((Message("user", "Tom has 3 apples."),), answer="7"), Example((Message("user", "x y"),))]
    assert engine.tokenise(examples) == transformers_engine(engine).tokenise(examples)


def test_both_engines_take_the_same_likeliest_tokens(engine: "VllmEngine") -> None:
    sampling = SamplingParams(max_tokens=24, temperature=0.0, min_tokens=3)
    groups = engine.generate(PROMPTS, 2, sampling).groups
    expected = transformers_engine(engine).generate(PROMPTS, 2, sampling).groups
    assert ids_of(groups) == ids_of(expected)
    assert [[(one.text, one.finish_reason) for one in group] for group in groups] == [
        [(one.text, one.finish_reason) for one in group] for group in expected
    ]


def test_seeds_fix_the_tokens_whoever_shares_the_batch(llama: "VllmEngine") -> None:
    sampling = SamplingParams(max_tokens=16, seed=7)
    together = ids_of(llama.generate(PROMPTS, 3, sampling).groups)
    backwards = ids_of(llama.generate(PROMPTS[::-1], 3, sampling).groups)
    alone = [ids_of(llama.generate([prompt], 3, sampling).groups)[0] for prompt in PROMPTS]
    assert together == backwards[::-1] == alone
    other = ids_of(llama.generate(PROMPTS, 3, SamplingParams(max_tokens=16, seed=8)).groups)
    assert len({ids for group in together + other for ids in group}) == 2 * 3 * len(PROMPTS)


def test_more_prompts_than_one_pass_reads_are_sampled_by_their_seeds(llama: "VllmEngine") -> None:
    prompts = prompts_of(*[100] * 60)
    sampling = SamplingParams(max_tokens=4, seed=2)
    groups = llama.generate(prompts, 2, sampling).groups
    for place in (0, 40, 59):
        assert ids_of(llama.generate([prompts[place]], 2, sampling).groups) == ids_of([groups[place]])


def test_draws_follow_the_model(llama: "VllmEngine") -> None:
    count = 4000
    (group,) = llama.generate([PROMPTS[0]], count, SamplingParams(max_tokens=1, seed=1)).groups
    model = AutoModelForCausalLM.from_pretrained(llama.describe().model).eval()
    with torch.no_grad():
        probabilities = model(torch.tensor([PROMPTS[0].token_ids])).logits[0, -1].softmax(-1)
    drawn = torch.bincount(torch.tensor([one.token_ids[0] for one in group]), minlength=320) / count
    # Half the sum of differences: about 0.4 * sqrt(tokens that occur / draws) if the draws are right.
    assert float((drawn - probabilities).abs().sum()) / 2 < 0.15


def test_end_tokens_end_an_answer_but_not_before_min_tokens(llama: "VllmEngine") -> None:
    end = llama.describe().end_of_turn_token_id
    sampling = SamplingParams(max_tokens=100, min_tokens=5, temperature=2.0, seed=2)
    (group,) = llama.generate(PROMPTS[:1], 64, sampling).groups
    ended = [one for one in group if one.finish_reason == "stop"]
    assert ended
    for one in group:
        assert one.token_ids.count(end) == (one.finish_reason == "stop")
        assert len(one.token_ids) > 5
        assert len(one.logprobs) == len(one.token_ids)
    for one in ended:
        assert one.token_ids[-1] == end
        assert one.text == llama.text(one.token_ids[:-1])


def test_stop_strings_stay_in_the_ids_and_are_cut_from_the_text(llama: "VllmEngine") -> None:
    (free,) = llama.generate(PROMPTS[:1], 1, SamplingParams(max_tokens=40, seed=3)).groups[0]
    stop = free.text[10:12]
    heard: list[SampledTokens] = []
    sampling = SamplingParams(max_tokens=40, seed=3, stop=(stop, "never said"))
    for caller in (Caller(), Caller(hears=heard.append)):
        (one,) = llama.generate(PROMPTS[:1], 1, sampling, caller).groups[0]
        assert one.text == free.text[: free.text.find(stop)]
        assert one.finish_reason == "stop"
        assert one.token_ids == free.token_ids[: len(one.token_ids)]
        assert stop in llama.text(one.token_ids)
        assert stop not in llama.text(one.token_ids[:-1])
        assert sum(span.token_count for span in one.spans) == len(one.token_ids) == len(one.logprobs)
    assert tuple(token for piece in heard for token in piece.token_ids) == one.token_ids
    assert tuple(logprob for piece in heard for logprob in piece.logprobs) == one.logprobs


def test_a_listener_hears_every_token_once_and_in_order(llama: "VllmEngine") -> None:
    heard: dict[tuple[int, int], list[tuple[int, float]]] = {}
    pieces: list[SampledTokens] = []

    def hears(piece: SampledTokens) -> None:
        pieces.append(piece)
        place = heard.setdefault((piece.prompt, piece.sample_index), [])
        place += zip(piece.token_ids, piece.logprobs, strict=True)

    groups = llama.generate(PROMPTS, 2, SamplingParams(max_tokens=20, seed=3), Caller(hears=hears)).groups
    for prompt, group in enumerate(groups):
        for index, one in enumerate(group):
            assert heard[prompt, index] == list(zip(one.token_ids, one.logprobs, strict=True))
    assert len(pieces) > 2 * 2 * len(PROMPTS)
    assert {piece.policy_version for piece in pieces} == {0}


SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"answer": {"type": "integer", "minimum": 0, "maximum": 99}, "sure": {"type": "boolean"}},
        "required": ["answer", "sure"],
        "additionalProperties": False,
    }
)


@pytest.mark.parametrize(
    ("answer_format", "accepts"),
    [
        (AnswerFormat("json_schema", SCHEMA), lambda text: set(json.loads(text)) == {"answer", "sure"}),
        (AnswerFormat("regex", "(yes|no) [0-9]{3}"), lambda text: re.fullmatch("(yes|no) [0-9]{3}", text) is not None),
    ],
    ids=["json schema", "regex"],
)
def test_answers_of_a_given_shape_have_it_and_raw_logprobs(
    answer_format: AnswerFormat, accepts: Callable[[str], bool], llama: "VllmEngine"
) -> None:
    heard: list[SampledTokens] = []
    sampling = SamplingParams(max_tokens=60, seed=1, answer_format=answer_format)
    groups = llama.generate(PROMPTS, 2, sampling, Caller(hears=heard.append)).groups
    for prompt, one in pairs(groups):
        assert one.finish_reason == "stop"
        assert accepts(one.text), one.text
        expected = plain_logprobs(llama.describe().model, prompt.token_ids, one.token_ids)
        assert one.logprobs == pytest.approx(expected, abs=FLOAT32_GAP)
    assert sum(len(piece.token_ids) for piece in heard) == sum(len(one.token_ids) for _, one in pairs(groups))


NESTED = json.dumps(
    {
        "type": "object",
        "properties": {
            "names": {"type": "array", "items": {"type": "string", "maxLength": 5}, "minItems": 1, "maxItems": 3},
            "day": {"type": "string", "format": "date"},
            "mood": {"enum": ["gut", "ça va", "😀", None]},
        },
        "required": ["names", "day", "mood"],
        "additionalProperties": False,
    }
)


@pytest.mark.parametrize(
    "answer_format",
    [
        AnswerFormat("json_schema", SCHEMA),
        AnswerFormat("json_schema", NESTED),
        AnswerFormat("regex", "(yes|no) [0-9]{3}"),
        AnswerFormat("regex", "[a-zäöüß€😀]{3,9}( [a-z]+){0,2}"),
        AnswerFormat("regex", "The answer is [0-9]+ apples"),
    ],
    ids=["object", "nested", "choice", "unicode", "dictated"],
)
@pytest.mark.parametrize("min_tokens", [0, 12])
def test_the_likeliest_answer_of_a_shape_is_that_of_the_transformers_engine(
    answer_format: AnswerFormat, min_tokens: int, llama: "VllmEngine"
) -> None:
    sampling = SamplingParams(60, temperature=0.0, min_tokens=min_tokens, answer_format=answer_format)
    ours = transformers_engine(llama).generate(PROMPTS, 1, sampling).groups
    theirs = llama.generate(PROMPTS, 1, sampling).groups
    assert ids_of(theirs) == ids_of(ours)
    assert [[(one.text, one.finish_reason) for one in group] for group in theirs] == [
        [(one.text, one.finish_reason) for one in group] for group in ours
    ]


@pytest.mark.parametrize(
    ("sampling", "sentence"),
    [
        (SamplingParams(max_tokens=4, answer_format=AnswerFormat("json_schema", "{")), r"response_format\.json_schema"),
        (
            SamplingParams(max_tokens=4, answer_format=AnswerFormat("regex", "(")),
            r"response_format\.regex cannot be kept",
        ),
        (SamplingParams(max_tokens=4, temperature=0.001), r"sampling\.temperature must be 0 or 0\.01 to 2 with"),
        (SamplingParams(max_tokens=4, temperature=2.5), r"sampling\.temperature must be 0 or 0\.01 to 2 with"),
    ],
    ids=["json schema", "regex", "cold", "hot"],
)
def test_what_vllm_cannot_do_is_refused_and_the_engine_goes_on(
    sampling: SamplingParams, sentence: str, llama: "VllmEngine"
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        llama.generate(PROMPTS, 2, sampling)
    assert len(llama.generate(PROMPTS, 1, SamplingParams(max_tokens=2)).groups) == len(PROMPTS)
    assert (llama.load().running_count, llama.load().waiting_count) == (0, 0)


def test_an_older_policy_than_asked_for_answers_nobody(llama: "VllmEngine") -> None:
    with pytest.raises(Conflict, match="policy 0 is held and at least 1 is asked for"):
        llama.generate(PROMPTS, 1, SamplingParams(max_tokens=2), Caller(min_policy_version=1))
    with pytest.raises(Conflict):
        llama.score([TokenSequence((9,), (10,))], Caller(min_policy_version=1))


LONG = SamplingParams(max_tokens=120, min_tokens=120)


def test_a_caller_who_leaves_frees_his_places(llama: "VllmEngine") -> None:
    heard = threading.Event()
    with pytest.raises(Cancelled):
        llama.generate(PROMPTS[:1], 200, LONG, Caller(lambda: not heard.is_set(), hears=lambda _: heard.set()))
    assert llama.load().running_count == 0
    # The cache is free again too, as vLLM tells with the next step.
    seen: list[float] = []
    llama.generate(PROMPTS[:1], 1, LONG, Caller(hears=lambda _: seen.append(llama.load().kv_cache_usage)))
    assert 0 < max(seen) < 0.05


def test_callers_share_the_engine(llama: "VllmEngine") -> None:
    first_heard, second_done = threading.Event(), threading.Event()
    order: list[str] = []

    def long_call() -> None:
        llama.generate(PROMPTS[:1], 32, LONG, Caller(hears=lambda _: first_heard.set()))
        order.append("long")

    thread = threading.Thread(target=long_call)
    thread.start()
    assert first_heard.wait(60)
    assert llama.load().running_count == 32
    llama.generate(PROMPTS[1:2], 1, SamplingParams(max_tokens=2))
    order.append("short")
    second_done.set()
    thread.join(60)
    assert order == ["short", "long"]


def test_who_would_wait_too_long_is_told_to_come_again(make_engine: MakeEngine) -> None:
    engine = make_engine("llama", running_completions_max=4, waiting_completions_max=4)
    heard, stay = threading.Event(), threading.Event()
    # A call that is larger than all places is served where nobody else waits.
    thread = threading.Thread(
        target=lambda: engine.generate(PROMPTS[:1], 64, LONG, Caller(hears=lambda _: heard.set()))
    )
    thread.start()
    assert heard.wait(60)
    with pytest.raises(Busy, match="1 more would pass the 8 that the engine takes") as caught:
        engine.generate(PROMPTS[:1], 1, SamplingParams(max_tokens=1))
    assert caught.value.retry_after_seconds
    load = engine.load()
    assert load.running_count + load.waiting_count > 8
    thread.join(120)
    stay.set()
    assert engine.generate(PROMPTS[:1], 1, SamplingParams(max_tokens=1)).groups


def test_a_policy_that_has_diverged_passes_its_nan_on(tmp_path: Path) -> None:
    from tests.unit.generation.tiny_models import make_model, make_tokenizer

    from pinetune.generation.vllm_engine import VllmEngine
    from pinetune.generation.vllm_settings import VllmOptions

    model = make_model("llama", head_dim=32)
    with torch.no_grad():
        # Finite numbers whose products are none.
        model.lm_head.weight.fill_(3e38)
        model.model.norm.weight.copy_(torch.tensor([3e38, -3e38] * 16))
    model.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    engine = VllmEngine(VllmOptions(str(tmp_path), threads=1, kv_cache_memory_bytes=1 << 26))
    try:
        ((one,),) = engine.generate(PROMPTS[:1], 1, SamplingParams(max_tokens=4)).groups
        assert all(math.isnan(logprob) for logprob in one.logprobs)
        assert len(one.logprobs) == len(one.token_ids)
    finally:
        engine.close()
