"""Policies that are loaded while a call samples: it goes on under the new one, or ends with an error."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.generation.test_weights import tensors_of, write_policy
from tests.unit.generation.tiny_models import make_model, make_tokenizer, plain_logprobs, prompts_of

from pinetune.generation.engine import Caller, InFlight, Sampled, TokenSequence
from pinetune.generation.samples import SampledTokens, SamplingParams
from pinetune.generation.transformers_engine import TransformersEngine
from pinetune.pod.errors import Corrupt, Unavailable

MakeEngine = Callable[..., TransformersEngine]
# Models that take no padding sample prompts of one length together, the others also of several.
KINDS = {"llama": (5, 9), "tied_llama": (5, 9), "mistral": (5, 9), "bloom": (9, 9), "lfm2": (9, 9)}
IN_PARTS = (80, 45, 78, 15, 77)
"""Lengths that are read in parts, at first and again."""
SAMPLING = SamplingParams(max_tokens=40, min_tokens=40, seed=2)
LOADED_AT = 5
"""Token of the first prompt at which a test asks for the new policy."""


def sample_while_loading(
    engine: TransformersEngine,
    folder: Path,
    in_flight: InFlight,
    lengths: tuple[int, ...] = (5, 9),
    sampling: SamplingParams = SAMPLING,
) -> tuple[Sampled, list[SampledTokens]]:
    """Sample two prompts, and ask for policy 3 while the first tokens are sampled."""
    heard: list[SampledTokens] = []
    loading = threading.Thread(target=lambda: engine.load_policy(str(folder), 3, "", in_flight))

    def hears(tokens: SampledTokens) -> None:
        heard.append(tokens)
        if len(heard) == LOADED_AT:
            loading.start()

    try:
        return engine.generate(prompts_of(*lengths), 2, sampling, Caller(hears=hears)), heard
    finally:
        loading.join(30)


@pytest.fixture
def new_model(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """Return a policy folder with version 3 of a kind of model, and the same model for transformers to load."""

    def make(kind: str) -> tuple[Path, Path]:
        write_policy(tmp_path / "policy", tensors_of(kind, seed=1), version=3)
        make_model(kind, seed=1).save_pretrained(tmp_path / "model")
        make_tokenizer().save_pretrained(tmp_path / "model")
        return tmp_path / "policy", tmp_path / "model"

    return make


@pytest.mark.parametrize(("kind", "lengths"), [*KINDS.items(), ("llama", IN_PARTS)], ids=[*KINDS, "in-parts"])
def test_completions_go_on_under_the_new_policy_as_if_it_had_read_all_that_was_said(
    kind: str, lengths: tuple[int, ...], make_engine: MakeEngine, new_model: Callable[[str], tuple[Path, Path]]
) -> None:
    policy, model = new_model(kind)
    engine = make_engine(kind)
    old_model = engine.describe().model
    sampled, heard = sample_while_loading(engine, policy, "continue", lengths)
    assert sampled.policy.policy_version == 3
    for prompt, group in zip(prompts_of(*lengths), sampled.groups, strict=True):
        for completion in group:
            old, new = completion.spans
            assert (old.policy_version, new.policy_version, old.token_count + new.token_count) == (0, 3, 40)
            written_by_old = plain_logprobs(old_model, prompt.token_ids, completion.token_ids)[: old.token_count]
            written_by_new = plain_logprobs(str(model), prompt.token_ids, completion.token_ids)[old.token_count :]
            assert completion.logprobs == pytest.approx(written_by_old + written_by_new, abs=1e-5)
    versions = {tokens.policy_version for tokens in heard}
    assert versions == {0, 3}


def test_a_call_that_is_to_end_says_so_and_the_next_one_has_the_new_policy(
    make_engine: MakeEngine, new_model: Callable[[str], tuple[Path, Path]]
) -> None:
    engine = make_engine()
    with pytest.raises(Unavailable, match="policy 3 was loaded while the completions were being sampled") as caught:
        sample_while_loading(engine, new_model("llama")[0], "abort")
    assert caught.value.reason == "POLICY_REPLACED"
    after = engine.generate(prompts_of(5), 1, SAMPLING)
    assert after.policy.policy_version == 3


def test_completions_finish_on_the_old_policy_bit_for_bit(
    make_engine: MakeEngine, new_model: Callable[[str], tuple[Path, Path]]
) -> None:
    undisturbed = make_engine().generate(prompts_of(5, 9), 2, SAMPLING)
    engine = make_engine()
    sampled, _ = sample_while_loading(engine, new_model("llama")[0], "finish")
    assert sampled.groups == undisturbed.groups
    assert engine.describe().policy.policy_version == 3


def test_a_policy_that_is_refused_leaves_the_call_as_it_was(
    make_engine: MakeEngine, new_model: Callable[[str], tuple[Path, Path]]
) -> None:
    policy, _ = new_model("llama")
    weights = policy / "model-0.safetensors"
    data = bytearray(weights.read_bytes())
    data[8 + int.from_bytes(data[:8], "little")] ^= 1
    weights.write_bytes(data)
    undisturbed = make_engine().generate(prompts_of(5, 9), 2, SAMPLING)
    engine, refusals = make_engine(), []

    def load() -> None:
        try:
            engine.load_policy(str(policy), 3, "", "continue")
        except Corrupt as error:
            refusals.append(error)

    loading = threading.Thread(target=load)
    asked = threading.Event()

    def hears(tokens: SampledTokens) -> None:
        if not asked.is_set():
            asked.set()
            loading.start()

    sampled = engine.generate(prompts_of(5, 9), 2, SAMPLING, Caller(hears=hears))
    loading.join(30)
    assert len(refusals) == 1
    assert sampled.groups == undisturbed.groups


def test_a_load_that_does_not_wait_for_the_end_goes_before_calls_that_wait(
    make_engine: MakeEngine, new_model: Callable[[str], tuple[Path, Path]]
) -> None:
    policy, _ = new_model("llama")
    engine, order = make_engine(), list[str]()
    sequence = TokenSequence((7, 8), (9,))
    waiting = threading.Thread(
        target=lambda: order.append(f"scored by {engine.score([sequence]).policy.policy_version}")
    )
    loading = threading.Thread(target=lambda: engine.load_policy(str(policy), 3, "", "continue"))

    def hears(tokens: SampledTokens) -> None:
        if not waiting.ident:
            waiting.start()
            loading.start()

    engine.generate(prompts_of(5), 1, SAMPLING, Caller(hears=hears))
    for thread in (waiting, loading):
        thread.join(30)
    assert order == ["scored by 3"]
