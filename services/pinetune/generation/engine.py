"""What the room asks of an engine, in its own words: dataclasses in, dataclasses out, no transport and no tensors.

An engine holds one model, one tokenizer and one policy version at a time. Its calls come from many threads at once; it
decides itself whether they share batches, take turns or are refused. `transformers_engine.py` is one engine; another is
written by keeping this interface.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pinetune.generation.conversation import Example, TokenisedExample
from pinetune.generation.samples import AnswerFormat, Prompt, SampledCompletion, SampledTokens, SamplingParams
from pinetune.pod.errors import Conflict

InFlight = Literal["finish", "continue", "abort"]
"""What becomes of completions that are being sampled when a policy is loaded: they `finish` on the old one first, they
`continue` under the new one from the token they are at, or they `abort` with the error Unavailable POLICY_REPLACED."""


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
class Caller:
    """Who makes a call: whether he still waits, which policy he takes, and his ear."""

    waits: Callable[[], bool] = lambda: True
    """Asked every few tokens; once it says False the call ends with the error Cancelled."""
    min_policy_version: int = 0
    """The oldest policy version that may answer; an older one raises Conflict POLICY_TOO_OLD."""
    begun: Callable[[], None] = lambda: None
    """Told when the first token of a batch of the call is sampled, by the engine's thread; must not wait."""
    hears: Callable[[SampledTokens], None] | None = None
    """Told of tokens as soon as they are sampled, in order within each completion; None where nobody listens. It is
    called by the engine's thread and must not wait."""


CALLER = Caller()
"""One who waits without end, takes any policy and does not listen."""


@dataclass(frozen=True)
class Sampled:
    """Outcome of sampling."""

    groups: list[list[SampledCompletion]]
    """The completions of each prompt, in the order of the prompts."""
    policy: PolicyState
    """The policy held when the last token was sampled."""
    seconds: float
    """Time spent sampling, without waiting."""


@dataclass(frozen=True)
class TokenSequence:
    """Tokens to score."""

    prompt_token_ids: tuple[int, ...]
    """The context, at least one token; not scored."""
    token_ids: tuple[int, ...]
    """What is scored, length T."""


@dataclass(frozen=True)
class Scored:
    """Outcome of scoring."""

    logprobs: list[list[float]]
    """The log-probability of each scored token under the policy, raw as in completions."""
    policy: PolicyState
    """The policy that scored."""


@dataclass(frozen=True)
class LoadedPolicy:
    """Outcome of loading a policy."""

    state: PolicyState
    """What is held now."""
    changed_tensor_count: int
    """Tensors that had to be read."""
    seconds: float
    """Time to read, check and place them, without waiting."""


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
    parts_format: str
    """How its answers are taken apart."""
    folders: frozenset[str] = frozenset()
    """Folders of policies that the engine may read again while it holds this one; they must stay."""


@dataclass(frozen=True)
class EngineLoad:
    """How busy an engine is."""

    running_count: int
    """Completions that are being sampled."""
    waiting_count: int
    """Completions that wait to be sampled."""
    kv_cache_usage: float
    """Share of the memory for keys and values that is in use, 0 to 1."""


class Engine(Protocol):
    """Samples from one policy at a time. Calls may come from several threads at once.

    `generate`, `score` and `load_policy` raise Busy, with a hint when to come again, where too many wait already, and
    Cancelled once the caller does not wait any more.
    """

    def tokenise(self, examples: Sequence[Example]) -> list[TokenisedExample]:
        """Return the token ids of prompts and answers. Does not wait for what is being sampled."""
        ...

    def text(self, token_ids: Sequence[int]) -> str:
        """Return the decoded text of sampled ids, as in completions. Does not wait for what is being sampled."""
        ...

    def check_format(self, answer_format: AnswerFormat) -> None:
        """Raise InvalidInput RESPONSE_FORMAT or Unsupported for a shape that `generate` would refuse.

        Does not wait for what is being sampled.
        """
        ...

    def opens_reasoning(self, prompt_token_ids: Sequence[int]) -> bool:
        """Return whether a prompt ends inside reasoning, so that the answer goes on with it."""
        ...

    def generate(
        self, prompts: Sequence[Prompt], sample_count: int, sampling: SamplingParams, caller: Caller = CALLER
    ) -> Sampled:
        """Return `sample_count` completions per prompt, in the order of the prompts.

        Raises Conflict POLICY_TOO_OLD, InvalidInput RESPONSE_FORMAT for a shape that cannot be kept, Unsupported where
        the engine cannot sample so, Unavailable POLICY_REPLACED where a policy was loaded meanwhile that lets nothing
        finish.
        """
        ...

    def score(self, sequences: Sequence[TokenSequence], caller: Caller = CALLER) -> Scored:
        """Return the log-probability of each scored token under the held policy."""
        ...

    def load_policy(
        self,
        policy_uri: str,
        policy_version: int,
        content_hash: str,
        in_flight: InFlight = "finish",
        caller: Caller = CALLER,
    ) -> LoadedPolicy:
        """Replace the held policy by that in `policy_uri`, checked tensor by tensor; on any error the old one stays.

        An empty `content_hash` takes the manifest's. Raises Unsupported where the engine does not know `in_flight`.
        """
        ...

    def tensor_hashes(self) -> Mapping[str, str]:
        """Return the SHA-256 of each tensor that need not be brought again, by name; nothing where it cannot say.

        Does not wait for what is being sampled.
        """
        ...

    def describe(self) -> EngineDescription:
        """Return what the engine is and holds. Does not wait for what is being sampled."""
        ...

    def load(self) -> EngineLoad:
        """Return how busy it is. Does not wait for what is being sampled."""
        ...

    def close(self) -> None:
        """Give back memory and processes."""
        ...


def refuse_old_policy(held: PolicyState, wanted: int) -> None:
    """Raise Conflict POLICY_TOO_OLD where the held policy is older than the caller takes."""
    if held.policy_version < wanted:
        raise Conflict(
            f"min_policy_version: policy {held.policy_version} is held and at least {wanted} is asked for; load it "
            "first",
            reason="POLICY_TOO_OLD",
            held=held.policy_version,
            wanted=wanted,
        )
