"""What the room asks of an engine, in its own words: dataclasses in, dataclasses out, no transport and no tensors.

An engine holds one model, one tokenizer and one policy version at a time. It is not thread-safe and need not be: the
service makes its calls one after the other. `transformers_engine.py` is one engine; another is written by keeping this
interface.

One completion of three tokens, the last of them the end of the turn, written by policy 4:

    SampledCompletion(token_ids=(52, 17, 2), logprobs=(-0.31, -1.2, -0.05), text="42", finish_reason="stop",
                      spans=(PolicySpan(policy_version=4, token_count=3),))
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pinetune.generation.conversation import Example, TokenisedExample

FinishReason = Literal["stop", "length"]
"""`stop`: an end-of-turn token or a stop string came. `length`: the token limit was reached."""


@dataclass(frozen=True)
class SamplingParams:
    """How to sample; the values are checked before they come here."""

    max_tokens: int
    """Most tokens of a completion, at least 1."""
    temperature: float = 1.0
    """0 takes the most likely token."""
    top_p: float = 1.0
    """Share of probability kept, above 0 to 1."""
    top_k: int = 0
    """Number of tokens kept; 0 means all."""
    min_tokens: int = 0
    """Fewest tokens before an end-of-turn token may come."""
    stop: tuple[str, ...] = ()
    """Texts that end a completion; they stay in the token ids and are cut from the text."""
    seed: int = 0
    """Fixes the draws, together with prompt id, sample index and position."""


@dataclass(frozen=True)
class Prompt:
    """One prompt to sample for."""

    prompt_id: str
    """Its name inside the request; part of what the random draws are derived from."""
    token_ids: tuple[int, ...]
    """Token ids, at least one."""


@dataclass(frozen=True)
class PolicySpan:
    """A run of sampled tokens that one policy version wrote."""

    policy_version: int
    """The version."""
    token_count: int
    """How many tokens."""


@dataclass(frozen=True)
class SampledCompletion:
    """One sampled answer."""

    token_ids: tuple[int, ...]
    """Sampled ids, length T, the end-of-turn token included where it was sampled."""
    logprobs: tuple[float, ...]
    """Log-probability of each token under the raw policy (temperature 1, nothing cut off), length T."""
    text: str
    """The decoded answer, without special tokens and without the stop string."""
    finish_reason: FinishReason
    """Why sampling stopped."""
    spans: tuple[PolicySpan, ...]
    """Which version wrote which tokens; the counts add up to T."""


@dataclass(frozen=True)
class TokenSequence:
    """Tokens to score."""

    prompt_token_ids: tuple[int, ...]
    """The context, at least one token; not scored."""
    token_ids: tuple[int, ...]
    """What is scored, length T."""


@dataclass(frozen=True)
class PolicyState:
    """The policy an engine holds."""

    policy_version: int
    """Its version; 0 is the base model."""
    content_hash: str
    """Content hash of the tensors that the engine holds, computed from them."""
    load_time: str
    """When it was loaded, RFC 3339."""


@dataclass(frozen=True)
class LoadedPolicy:
    """Outcome of loading a policy."""

    state: PolicyState
    """What is held now."""
    changed_tensor_count: int
    """Tensors that had to be read."""


@dataclass(frozen=True)
class EngineDescription:
    """What an engine is and holds."""

    engine: str
    """Its name, as in the settings."""
    engine_version: str
    """Version of its library."""
    model: str
    """Folder or hub id of the base model."""
    parameter_count: int
    """Weights, shared ones counted once."""
    vocabulary_size: int
    """Rows of the output layer: token ids are below it."""
    max_model_tokens: int
    """Most tokens of prompt and completion together."""
    dtype: str
    """dtype of the weights."""
    device: str
    """Where they are."""
    end_of_turn_token_id: int
    """What closes an answer."""
    policy: PolicyState
    """The held policy."""


class Engine(Protocol):
    """Samples from one policy at a time. Calls are made one after the other."""

    def tokenise(self, examples: Sequence[Example]) -> list[TokenisedExample]:
        """Return the token ids of prompts and answers. Safe to call while the engine samples."""
        ...

    def generate(
        self,
        prompts: Sequence[Prompt],
        sample_count: int,
        sampling: SamplingParams,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[list[SampledCompletion]]:
        """Return `sample_count` completions per prompt, in the order of the prompts.

        `cancelled` is asked every few tokens; once it says True the call ends with the error Cancelled.
        """
        ...

    def score(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """Return the log-probability of each scored token under the held policy, raw as in `generate`."""
        ...

    def load_policy(self, policy_uri: str, policy_version: int, content_hash: str) -> LoadedPolicy:
        """Replace the held policy by that in `policy_uri`, checked tensor by tensor; on any error the old one stays."""
        ...

    def describe(self) -> EngineDescription:
        """Return what the engine is and holds. Safe to call while the engine samples."""
        ...

    def close(self) -> None:
        """Give back memory and processes."""
        ...
