"""What learning refuses at its door, each fault named with field, limit and value given.

Nothing that gets past this file can fail in the middle of a step for what a caller sent.
"""

import math
from collections.abc import Sequence

from transformers import PreTrainedModel

from pinetune.learning.batches import TokenSequence
from pinetune.learning.ppo import Trajectory
from pinetune.learning.settings import ComputeSettings, OptimizerSettings, Schedule, UpdateSettings, WarmUpSettings
from pinetune.pod.errors import Conflict, InvalidInput

DTYPES = ("float32", "bfloat16")


def check_order(warm_up: WarmUpSettings | None, update: UpdateSettings | None, compute: ComputeSettings) -> None:
    """Raise InvalidInput for settings that cannot be."""
    if warm_up is None and update is None:
        raise InvalidInput("warm_up or update must be set; both are missing", reason="NOTHING_TO_LEARN")
    if compute.dtype not in DTYPES:
        raise InvalidInput(f"compute.dtype must be one of {DTYPES}; given {compute.dtype!r}", reason="DTYPE_UNKNOWN")
    _in_range("compute.max_tokens_per_pass", compute.max_tokens_per_pass, 1, math.inf)
    if warm_up is not None:
        _check_optimizer("warm_up", warm_up.optimizer, warm_up.step_count)
    if update is not None:
        _check_update(update)


def check_examples(examples: Sequence[TokenSequence], model: PreTrainedModel) -> None:
    """Raise InvalidInput for sequences that the model cannot read, naming which."""
    if not examples:
        raise InvalidInput("sequences must have at least one; given none", reason="NO_SEQUENCES")
    for index, example in enumerate(examples):
        _check_tokens(f"sequences[{index}]", example, model)


def check_trajectories(
    trajectories: Sequence[Trajectory], model: PreTrainedModel, policy_version: int, max_staleness: int
) -> None:
    """Raise InvalidInput for trajectories that cannot be learnt from, Conflict for those that are too old.

    `policy_version` is that of the weights that the update begins with.
    """
    if not trajectories:
        raise InvalidInput("trajectories must have at least one; given none", reason="NO_TRAJECTORIES")
    for trajectory in trajectories:
        name = f"trajectory of completion {trajectory.completion_id!r}"
        _check_tokens(name, trajectory, model)
        if len(trajectory.logprobs) != len(trajectory.token_ids):
            raise InvalidInput(
                f"{name}: logprobs must be as many as token_ids, {len(trajectory.token_ids)}; "
                f"given {len(trajectory.logprobs)}",
                reason="LOGPROBS_LENGTH",
                completion_id=trajectory.completion_id,
            )
        if not math.isfinite(trajectory.reward):
            raise InvalidInput(
                f"{name}: reward must be finite; given {trajectory.reward}",
                reason="REWARD_NOT_FINITE",
                completion_id=trajectory.completion_id,
            )
        _check_version(name, trajectory, policy_version, max_staleness)


def _check_tokens(name: str, sequence: TokenSequence, model: PreTrainedModel) -> None:
    if not sequence.prompt_token_ids:
        raise InvalidInput(f"{name}: prompt_token_ids must not be empty", reason="PROMPT_EMPTY")
    if not sequence.token_ids:
        raise InvalidInput(f"{name}: token_ids must not be empty", reason="COMPLETION_EMPTY")
    config = model.config.get_text_config(decoder=True)
    lowest = min(min(sequence.prompt_token_ids), min(sequence.token_ids))
    highest = max(max(sequence.prompt_token_ids), max(sequence.token_ids))
    if lowest < 0 or highest >= config.vocab_size:
        raise InvalidInput(
            f"{name}: token ids must be 0 to {config.vocab_size - 1}; given {lowest if lowest < 0 else highest}",
            reason="TOKEN_ID_OUT_OF_RANGE",
        )
    length = len(sequence.prompt_token_ids) + len(sequence.token_ids)
    limit: int | None = getattr(config, "max_position_embeddings", None)
    if limit is not None and length > limit:
        raise InvalidInput(
            f"{name}: prompt and completion together may have {limit} tokens, which is what the model can read; "
            f"given {length}",
            reason="SEQUENCE_TOO_LONG",
            limit=limit,
            given=length,
        )


def _check_version(name: str, trajectory: Trajectory, policy_version: int, max_staleness: int) -> None:
    behind = policy_version - trajectory.policy_version
    if behind < 0:
        raise InvalidInput(
            f"{name}: policy version {trajectory.policy_version} is not made yet; the learner is at {policy_version}",
            reason="POLICY_VERSION_UNKNOWN",
            completion_id=trajectory.completion_id,
        )
    if behind > max_staleness:
        raise Conflict(
            f"{name} was sampled from policy version {trajectory.policy_version}, {behind} behind the learner's "
            f"{policy_version}; update.max_staleness allows {max_staleness}. Sample again from the current policy",
            reason="POLICY_TOO_STALE",
            completion_id=trajectory.completion_id,
            policy_version=trajectory.policy_version,
            limit=max_staleness,
        )


def _check_update(update: UpdateSettings) -> None:
    _check_optimizer("update", update.optimizer, update.step_count)
    _in_range("update.gamma", update.gamma, 0, 1)
    _in_range("update.gae_lambda", update.gae_lambda, 0, 1)
    _in_range("update.clip_range", update.clip_range, 0, math.inf)
    _in_range("update.value_clip_range", update.value_clip_range, 0, math.inf)
    _in_range("update.value_coefficient", update.value_coefficient, 0, math.inf)
    _in_range("update.kl_coefficient", update.kl_coefficient, 0, math.inf)
    _in_range("update.entropy_coefficient", update.entropy_coefficient, 0, math.inf)
    _in_range("update.epoch_count", update.epoch_count, 1, math.inf)
    _in_range("update.mini_batch_count", update.mini_batch_count, 1, math.inf)
    _in_range("update.max_staleness", update.max_staleness, 0, math.inf)


def _check_optimizer(phase: str, settings: OptimizerSettings, step_count: int) -> None:
    place = f"{phase}.optimizer"
    _in_range(f"{place}.learning_rate", settings.learning_rate, 0, math.inf)
    _in_range(f"{place}.warm_up_ratio", settings.warm_up_ratio, 0, 1)
    _in_range(f"{place}.weight_decay", settings.weight_decay, 0, math.inf)
    _in_range(f"{place}.epsilon", settings.epsilon, 0, math.inf)
    _in_range(f"{place}.beta1", settings.beta1, 0, 1)
    _in_range(f"{place}.beta2", settings.beta2, 0, 1)
    _in_range(f"{place}.max_gradient_norm", settings.max_gradient_norm, 0, math.inf)
    if settings.schedule is not Schedule.CONSTANT or settings.warm_up_ratio:
        _in_range(f"{phase}.step_count", step_count, 1, math.inf)


def _in_range(field: str, value: float, low: float, high: float) -> None:
    # Written so that a NaN is refused.
    if not low <= value <= high or math.isinf(value):
        limit = f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
        raise InvalidInput(
            f"{field} must be {limit}; given {value:g}", reason="SETTING_OUT_OF_RANGE", field=field, given=value
        )
