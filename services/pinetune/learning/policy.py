"""The model that learns: a causal language model with a value head on its trunk, and its log-probabilities, fast.

In the loop: `ppo.py` and `warm_up.py` ask this file for the log-probability of each completion token and hand back a
loss per token. Most positions of a pass are prompt, and most of a small model's work beyond its trunk is the logits; so
the head runs on the positions that predict a completion token and on no others, in chunks:

    input ids ─ trunk ─► hidden states of all positions ─ pick ─► of N positions ─┬─ lm_head ─► log-probabilities
                                                                                  └─ value head ─► values

Since every loss here is a sum over tokens, its gradient with respect to the picked hidden states is found chunk by
chunk, each chunk's logits freed before the next, and the trunk's backward pass runs once: exact, with no recomputation.

Holds for any transformers causal decoder whose logits are `lm_head` of the trunk's last hidden state, times a constant
or soft-capped: Llama, Qwen, Mistral, GPT-2, Gemma, Granite, Cohere and their kin. `logit_transform` checks that against
the model's own forward pass when it is loaded, and refuses the rest.

All passes run in eval mode: without dropout, as ReFT does, so that old and new log-probabilities differ by the weights
alone.

Shapes: R rows, L positions, N completion tokens, D width, V vocabulary, B completions, T tokens of the longest.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pinetune.learning.batches import MicroBatch, TokenSequence, completion_mask, micro_batches

LOGITS_CHUNK_BYTES = 32 * 2**20
"""Float32 logits held at once. Small enough for caches and memory, large enough for full matrix multiplies."""
CHUNK_ROWS_MIN = 256
"""Fewest rows of a chunk, whatever the vocabulary; below that the multiplies starve."""


@dataclass(frozen=True, slots=True)
class TokenOutputs:
    """What the heads say about N completion tokens."""

    logprobs_N: Tensor
    """Log-probability of each token, float32."""
    values_N: Tensor
    """Value of the state before each token, float32; zeros without a value head."""
    log_distribution_NV: Tensor
    """Log-probability of every token of the vocabulary."""

    def entropies(self) -> Tensor:
        """Return the entropy of the policy before each token in nats, shape N."""
        return -(self.log_distribution_NV.exp() * self.log_distribution_NV).sum(-1)

    def most_likely(self) -> Tensor:
        """Return whether each token was the most likely one, shape N."""
        return self.logprobs_N >= self.log_distribution_NV.amax(-1)


@dataclass(frozen=True, slots=True)
class Scores:
    """Log-probabilities and values of whole completions, padded with zeros."""

    logprobs_BT: Tensor
    """Log-probability of each completion token."""
    values_BT: Tensor
    """Value of the state before each token; zeros without a value head."""


class Policy(nn.Module):
    """A causal language model, with a value head where the algorithm needs one."""

    def __init__(self, model: PreTrainedModel, value_head: nn.Linear | None = None, *, autocast: bool = False) -> None:
        """Wrap `model`, which is put into eval mode and stays there.

        Raises ValueError where its logits cannot be computed at picked positions.
        """
        super().__init__()
        self.model = model
        self.value_head = value_head
        self.autocast = autocast
        self.eval()
        self._transform = logit_transform(model)
        self._shared_tokens_max = 0
        self._shared_tokens_max = _shared_tokens_max(self)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        device: torch.device = self.model.device
        return device

    def hidden(self, batch: MicroBatch) -> Tensor:
        """Return the trunk's last hidden state at the positions that predict completion tokens, shape ND."""
        layout: dict[str, Tensor | None] = {}
        if batch.segments_RL is not None:
            # Only then: without a mask attention takes its faster causal path.
            layout["position_ids"] = batch.position_ids_RL
            layout["attention_mask"] = batch.attention_mask(self.model.dtype)
        with self._precision():
            states_RLD: Tensor = self.model.base_model(
                input_ids=batch.input_ids_RL, use_cache=False, **layout
            ).last_hidden_state
        # A lookup, as completions that share a prompt share a position: the gradient of indexing adds them up in an
        # order that threads race for, and that of an embedding does not.
        return nn.functional.embedding(batch.positions_N, states_RLD.flatten(0, 1))

    def micro_batches(
        self, sequences: Sequence[TokenSequence], max_tokens: int, *, rows: Sequence[int] | None = None
    ) -> Iterator[MicroBatch]:
        """Yield the sequences, or those of `rows`, as the micro-batches that this model reads fastest."""
        return micro_batches(sequences, max_tokens, self.device, rows=rows, shared_tokens_max=self._shared_tokens_max)

    def heads(self, hidden_ND: Tensor, targets_N: Tensor) -> TokenOutputs:
        """Return what both heads say about the tokens `targets_N` after the hidden states."""
        with self._precision():
            logits_NV = self._transform(_lm_head(self.model)(hidden_ND))
        log_distribution_NV = logits_NV.float().log_softmax(-1)
        logprobs_N = log_distribution_NV.gather(1, targets_N[:, None])[:, 0]
        # The value head computes in float32 whatever the trunk does: returns differ by less than bfloat16 can say.
        head = self.value_head
        values_N = torch.zeros_like(logprobs_N) if head is None else head(hidden_ND.float())[:, 0]
        return TokenOutputs(logprobs_N, values_N, log_distribution_NV)

    def backward(self, batch: MicroBatch, loss: Callable[[TokenOutputs, slice], Tensor]) -> None:
        """Add the gradient of a loss that is a sum over tokens; `loss` gets some of the tokens and says which."""
        hidden_ND = self.hidden(batch)
        gradients: list[Tensor] = []
        for part in self._chunks(len(hidden_ND)):
            leaf_ND = hidden_ND.detach()[part].requires_grad_()
            loss(self.heads(leaf_ND, batch.targets_N[part]), part).backward()  # type: ignore[no-untyped-call]  # torch
            assert leaf_ND.grad is not None, "every loss depends on the hidden states"
            gradients.append(leaf_ND.grad)
        hidden_ND.backward(torch.cat(gradients))  # type: ignore[no-untyped-call]  # torch

    @torch.no_grad()
    def score(self, sequences: Sequence[TokenSequence], max_tokens: int) -> Scores:
        """Score the completion tokens of all sequences, `max_tokens` of input at most in one pass."""
        mask_BT = completion_mask(sequences).to(self.device)
        logprobs_BT = torch.zeros(mask_BT.shape, device=self.device)
        values_BT = torch.zeros_like(logprobs_BT)
        for batch in self.micro_batches(sequences, max_tokens):
            hidden_ND = self.hidden(batch)
            outputs = [self.heads(hidden_ND[part], batch.targets_N[part]) for part in self._chunks(len(hidden_ND))]
            at = batch.places(mask_BT)
            logprobs_BT[at] = torch.cat([output.logprobs_N for output in outputs])
            values_BT[at] = torch.cat([output.values_N for output in outputs])
        return Scores(logprobs_BT, values_BT)

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.autocast else nullcontext()

    def _chunks(self, count: int) -> Iterator[slice]:
        rows = max(CHUNK_ROWS_MIN, LOGITS_CHUNK_BYTES // (4 * _lm_head(self.model).weight.shape[0]))
        return (slice(start, start + rows) for start in range(0, count, rows))


def make_value_head(width: int, *, zero: bool, generator: torch.Generator) -> nn.Linear:
    """Return a float32 linear head from hidden states to values.

    Zero: the first values are 0, for a head that `value_fit.py` sets before the first update, or that begins there.
    Otherwise uniform in ±1/√D, as the head that ReFT takes from TRL.
    """
    head = nn.Linear(width, 1)
    with torch.no_grad():
        for parameter in head.parameters():
            if zero:
                parameter.zero_()
            else:
                parameter.uniform_(-(width**-0.5), width**-0.5, generator=generator)
    return head


@dataclass(frozen=True, slots=True)
class _Probe:
    prompt_token_ids: tuple[int, ...]
    token_ids: tuple[int, ...]


@torch.no_grad()
def _shared_tokens_max(policy: Policy) -> int:
    """Return the most tokens of a row that several completions may share, 0 where the model cannot read such rows.

    The model is asked: it must say of completions that share a row what it says of each alone. Attention windows are
    not in the mask of a shared row, so rows are no longer than they.
    """
    probes = [_Probe((0, 1, 2, 3), (2, 1, 0)), _Probe((0, 1, 2, 3), (1, 3, 2, 0))]
    [shared] = micro_batches(probes, sys.maxsize, policy.device, shared_tokens_max=sys.maxsize)
    apart = [batch for probe in reversed(probes) for batch in micro_batches([probe], sys.maxsize, policy.device)]
    try:
        found_ND = policy.hidden(shared).float()
    except (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return 0  # No place for positions or for such a mask.
    wanted_ND = torch.cat([policy.hidden(batch).float() for batch in apart])
    tolerance = 1e-4 if not policy.autocast else 3e-2
    if float((found_ND - wanted_ND).abs().max()) > tolerance * float(wanted_ND.abs().max()):
        return 0
    config = policy.model.config.get_text_config(decoder=True)
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return min((window for window in windows if window), default=sys.maxsize)


@torch.no_grad()
def logit_transform(model: PreTrainedModel) -> Callable[[Tensor], Tensor]:
    """Find what the model does to its lm_head's output, by comparing with its own forward pass on a few tokens.

    Raises ValueError where no known transform makes them equal.
    """
    head = _lm_head(model)
    ids_RL = torch.arange(4, device=model.device)[None] % head.weight.shape[0]
    states_RLD = model.base_model(input_ids=ids_RL, use_cache=False).last_hidden_state
    wanted_RLV = model(input_ids=ids_RL, use_cache=False).logits
    plain_RLV = head(states_RLD)
    for transform in _candidates(model):
        if torch.allclose(transform(plain_RLV), wanted_RLV, rtol=1e-3, atol=1e-4):
            return transform
    raise ValueError(
        f"{type(model).__name__} changes its logits after lm_head in a way that is not known here; "
        "train a model whose logits are lm_head of the last hidden state, scaled or soft-capped"
    )


def _candidates(model: PreTrainedModel) -> Iterator[Callable[[Tensor], Tensor]]:
    config = model.config.get_text_config()
    yield lambda logits: logits
    cap = getattr(config, "final_logit_softcapping", None)
    if cap:
        yield lambda logits: torch.tanh(logits / cap) * cap
    # Cohere multiplies, Granite divides, HyperCLOVA X multiplies by what Granite divides by.
    for name in ("logit_scale", "logits_scaling"):
        factor = getattr(config, name, None)
        if factor:
            yield partial(torch.mul, other=factor)
            yield partial(torch.div, other=factor)


def _lm_head(model: PreTrainedModel) -> nn.Linear:
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise ValueError(f"{type(model).__name__} has no linear lm_head; train a causal language model")
    return head
