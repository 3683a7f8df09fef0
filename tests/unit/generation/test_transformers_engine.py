from collections.abc import Callable

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

from pinetune.generation.batches import plan_reading
from pinetune.generation.decoding import PART_TOKENS_MIN
from pinetune.generation.engine import Caller, TokenSequence
from pinetune.generation.samples import SampledCompletion, SampledTokens, SamplingParams
from pinetune.generation.scoring import score
from pinetune.generation.transformers_engine import TransformersEngine
from pinetune.pod.errors import Cancelled, Conflict

KINDS = ["llama", "tied_llama", "gpt2", "mistral", "bloom", "lfm2"]
MakeEngine = Callable[..., TransformersEngine]


def ids_of(completions: list[list[SampledCompletion]]) -> list[list[tuple[int, ...]]]:
    return [[completion.token_ids for completion in group] for group in completions]


@pytest.mark.parametrize("kind", KINDS)
def test_logprobs_are_those_of_a_plain_forward(kind: str, make_engine: MakeEngine) -> None:
    engine = make_engine(kind)
    prompts = prompts_of(5, 17, 1, 11)
    groups = engine.generate(prompts, 3, SamplingParams(max_tokens=20, seed=3)).groups
    for prompt, group in zip(prompts, groups, strict=True):
        for completion in group:
            expected = plain_logprobs(engine.describe().model, prompt.token_ids, completion.token_ids)
            assert completion.logprobs == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_logprobs_are_those_of_a_plain_bfloat16_forward(kind: str, make_engine: MakeEngine) -> None:
    engine = make_engine(kind, dtype="bfloat16")
    prompts = prompts_of(5, 17, 1, 11)
    groups = engine.generate(prompts, 3, SamplingParams(max_tokens=20, seed=3)).groups
    pairs = [(prompt, one) for prompt, group in zip(prompts, groups, strict=True) for one in group]
    gaps = bfloat16_gaps(engine.describe().model, pairs)
    assert sum(gaps) / len(gaps) < BFLOAT16_MEAN_GAP
    assert max(gaps) < BFLOAT16_GAP


@pytest.mark.parametrize("kind", KINDS)
def test_batching_and_order_do_not_change_the_tokens(kind: str, make_engine: MakeEngine) -> None:
    sampling = SamplingParams(max_tokens=14, seed=7)
    prompts = prompts_of(3, 21, 9, 9)
    together = ids_of(make_engine(kind).generate(prompts, 2, sampling).groups)
    backwards = ids_of(make_engine(kind).generate(prompts[::-1], 2, sampling).groups)
    small_batches = ids_of(make_engine(kind, max_batch_tokens=80).generate(prompts, 2, sampling).groups)
    alone = [
        ids_of(make_engine(kind, max_batch_tokens=1).generate([prompt], 2, sampling).groups)[0] for prompt in prompts
    ]
    assert together == backwards[::-1] == small_batches == alone


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_that_are_read_in_parts_are_sampled_as_each_alone(kind: str, make_engine: MakeEngine) -> None:
    engine, lengths = make_engine(kind), (20, 100, 58, 99, 21, 60, 97, 59, 22)
    assert len(plan_reading(lengths, PART_TOKENS_MIN)) == 3
    prompts, sampling = prompts_of(*lengths), SamplingParams(max_tokens=12, seed=5)
    together = engine.generate(prompts, 2, sampling).groups
    assert ids_of(together) == [ids_of(engine.generate([prompt], 2, sampling).groups)[0] for prompt in prompts]
    for prompt, group in zip(prompts, together, strict=True):
        for completion in group:
            expected = plain_logprobs(engine.describe().model, prompt.token_ids, completion.token_ids)
            assert completion.logprobs == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_takes_the_likeliest_token(kind: str, make_engine: MakeEngine) -> None:
    engine = make_engine(kind)
    prompts = prompts_of(4, 13)
    groups = engine.generate(prompts, 2, SamplingParams(max_tokens=12, temperature=0.0)).groups
    model = AutoModelForCausalLM.from_pretrained(engine.describe().model).eval()
    for prompt, group in zip(prompts, groups, strict=True):
        ids = list(prompt.token_ids)
        for token in group[0].token_ids:
            with torch.no_grad():
                assert token == int(model(torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)
        assert group[0] == group[1]


def test_samples_of_one_prompt_differ_and_seeds_change_them(make_engine: MakeEngine) -> None:
    engine = make_engine()
    prompts = prompts_of(5)
    first = ids_of(engine.generate(prompts, 4, SamplingParams(max_tokens=8, seed=1)).groups)[0]
    second = ids_of(engine.generate(prompts, 4, SamplingParams(max_tokens=8, seed=2)).groups)[0]
    assert len(set(first) | set(second)) == 8


def test_a_completion_ends_with_its_end_of_turn_token(make_engine: MakeEngine) -> None:
    engine = make_engine()
    end = engine.describe().end_of_turn_token_id
    completions = [
        c for group in engine.generate(prompts_of(5, 9), 64, SamplingParams(max_tokens=60)).groups for c in group
    ]
    stopped = [completion for completion in completions if completion.finish_reason == "stop"]
    cut = [completion for completion in completions if completion.finish_reason == "length"]
    assert stopped
    assert cut
    assert all(completion.token_ids.index(end) == len(completion.token_ids) - 1 for completion in stopped)
    assert all(end not in completion.token_ids and len(completion.token_ids) == 60 for completion in cut)
    assert all(len(completion.logprobs) == len(completion.token_ids) for completion in completions)


def test_min_tokens_holds_the_end_back(make_engine: MakeEngine) -> None:
    engine = make_engine()
    sampling = SamplingParams(max_tokens=40, min_tokens=20, temperature=1.5)
    groups = engine.generate(prompts_of(5), 64, sampling).groups
    assert {len(completion.token_ids) >= 20 for completion in groups[0]} == {True}
    assert any(completion.finish_reason == "stop" for completion in groups[0])


def test_a_stop_string_stays_in_the_ids_and_leaves_the_text(make_engine: MakeEngine) -> None:
    engine = make_engine()
    prompts = prompts_of(5, 8)
    free = engine.generate(prompts, 8, SamplingParams(max_tokens=40, seed=5)).groups
    stopped = engine.generate(prompts, 8, SamplingParams(max_tokens=40, seed=5, stop=("e", "never seen"))).groups
    hits = 0
    for before, after in zip([c for g in free for c in g], [c for g in stopped for c in g], strict=True):
        assert before.token_ids[: len(after.token_ids)] == after.token_ids
        assert len(after.logprobs) == len(after.token_ids)
        if "e" in before.text:
            hits += 1
            assert after.text == before.text[: before.text.index("e")]
            assert after.finish_reason == "stop"
            # The ids end with the token that completed the stop string.
            assert "e" in engine._tokenisation.text(after.token_ids)
            assert "e" not in engine._tokenisation.text(after.token_ids[:-1])
        else:
            assert after == before
    assert 0 < hits < 16


def test_score_repeats_the_logprobs_of_generate(make_engine: MakeEngine) -> None:
    engine = make_engine("llama")
    prompts = prompts_of(5, 17, 1)
    groups = engine.generate(prompts, 2, SamplingParams(max_tokens=20, temperature=0.7, top_k=50)).groups
    pairs = [(p, c) for p, group in zip(prompts, groups, strict=True) for c in group]
    scored = engine.score([TokenSequence(p.token_ids, c.token_ids) for p, c in pairs]).logprobs
    for (_, completion), logprobs in zip(pairs, scored, strict=True):
        assert logprobs == pytest.approx(completion.logprobs, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_scoring_in_pieces_is_scoring_at_once(kind: str, make_engine: MakeEngine) -> None:
    engine = make_engine(kind)
    sequences = [TokenSequence(p.token_ids[:2], p.token_ids[2:]) for p in prompts_of(40, 23, 2)]
    at_once = engine.score(sequences).logprobs
    in_pieces = score(engine._model, sequences, token_budget=1000, logit_count_max=320 * 3 * 7)
    assert [len(row) for row in at_once] == [38, 21, 0]
    assert in_pieces == [pytest.approx(row, abs=1e-5) for row in at_once]


def test_a_caller_who_left_ends_the_call(make_engine: MakeEngine) -> None:
    asked: list[int] = []

    def waits() -> bool:
        asked.append(1)
        return len(asked) < 3

    with pytest.raises(Cancelled):
        make_engine().generate(prompts_of(5), 2, SamplingParams(max_tokens=100, min_tokens=100), Caller(waits))
    assert len(asked) == 3


def test_every_token_names_its_policy(make_engine: MakeEngine) -> None:
    groups = make_engine().generate(prompts_of(5, 6), 2, SamplingParams(max_tokens=9)).groups
    for completion in (completion for group in groups for completion in group):
        (span,) = completion.spans
        assert (span.policy_version, span.token_count) == (0, len(completion.token_ids))


def test_what_a_listener_hears_is_what_the_call_returns(make_engine: MakeEngine) -> None:
    engine, heard = make_engine(), list[SampledTokens]()
    sampling = SamplingParams(max_tokens=40, seed=5, stop=("e",))
    groups = engine.generate(prompts_of(5, 8), 4, sampling, Caller(hears=heard.append)).groups
    assert len(heard) > 8 * 2
    for prompt, group in enumerate(groups):
        for sample_index, completion in enumerate(group):
            mine = [part for part in heard if (part.prompt, part.sample_index) == (prompt, sample_index)]
            assert [token for part in mine for token in part.token_ids] == list(completion.token_ids)
            assert [logprob for part in mine for logprob in part.logprobs] == list(completion.logprobs)


def test_a_policy_older_than_the_caller_takes_does_not_answer(make_engine: MakeEngine) -> None:
    with pytest.raises(Conflict, match="policy 0 is held and at least 1 is asked for"):
        make_engine().generate(prompts_of(5), 1, SamplingParams(max_tokens=1), Caller(min_policy_version=1))
