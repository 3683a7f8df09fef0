"""What is sampled: prompts and how to sample for them, completions and the tokens that they are made of.

One completion of three tokens, the last of them the end of the turn, written by policy 4:

    SampledCompletion(token_ids=(52, 17, 2), logprobs=(-0.31, -1.2, -0.05), text="42", finish_reason="stop",
                      spans=(PolicySpan(policy_version=4, token_count=3),))
"""

from dataclasses import dataclass
from typing import Literal

from pinetune.generation.answer_parts import WHOLE, Reading

FinishReason = Literal["stop", "length"]
"""`stop`: an end-of-turn token or a stop string came. `length`: the token limit was reached."""


@dataclass(frozen=True)
class AnswerFormat:
    """What shape an answer must have: from its first letter to its last, unless `max_tokens` ends it before."""

    kind: Literal["json_schema", "regex"]
    """How it is described."""
    text: str
    """JSON Schema as JSON text, whose answers have no white space between their parts; or a regular expression, in the
    syntax of Rust's `regex`, that the whole answer matches."""


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
    """Fewest tokens before an end-of-turn token may come; an answer whose given shape leaves no more to say ends
    before."""
    stop: tuple[str, ...] = ()
    """Texts that end a completion; they stay in the token ids and are cut from the text."""
    seed: int = 0
    """Fixes the draws, together with prompt id, sample index and position."""
    answer_format: AnswerFormat | None = None
    """What shape an answer must have; None for any."""


@dataclass(frozen=True)
class Prompt:
    """One prompt to sample for."""

    prompt_id: str
    """Its name inside the request; part of what the random draws are derived from."""
    token_ids: tuple[int, ...]
    """Token ids, at least one."""
    reading: Reading = WHOLE
    """How answers to it are taken apart; no engine's business."""


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
    """All of the decoded answer, without the stop string and special tokens but for those that mark its parts."""
    finish_reason: FinishReason
    """Why sampling stopped."""
    spans: tuple[PolicySpan, ...]
    """Which version wrote which tokens; the counts add up to T."""


@dataclass(frozen=True)
class SampledTokens:
    """Some more tokens of one completion, as they are sampled."""

    prompt: int
    """Position of its prompt in the call."""
    sample_index: int
    """Which of the prompt's samples it is."""
    token_ids: tuple[int, ...]
    """The new ids; all of them are in the completion that the call returns."""
    logprobs: tuple[float, ...]
    """Their log-probabilities, raw as in the completion."""
    policy_version: int
    """The version that wrote them."""
    ended: bool = False
    """Whether the completion has ended with them, so that the last of them may not be in its text."""
