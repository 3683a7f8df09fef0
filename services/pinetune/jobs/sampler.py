"""Makes rollouts: items to prompts, prompts to completions, completions to grades and rewards.

Training, validation and evaluation all go through `collect`; they differ in the sampling parameters and in whether the
learner will see the reward.
"""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from pinetune.client.generation_replicas import GenerationReplicas
from pinetune.client.grader_view import samples_json
from pinetune.client.grading import GradingClient
from pinetune.client.learning import Trajectory
from pinetune.client.prompts import Prompt, Sampling
from pinetune.client.rollout import Completion, Grade, Purpose
from pinetune.jobs.clock import Clock
from pinetune.jobs.dataset import Item
from pinetune.jobs.rewards import RewardPolicy, reward_of
from pinetune.jobs.rollout_files import Rollout
from pinetune.jobs.scaling import Scaling
from pinetune.jobs.usage import Usage
from pinetune.pod import spans


@dataclass(frozen=True)
class Sampler:
    """One job's way from items to rollouts."""

    generation: GenerationReplicas
    """Samples."""
    grading: GradingClient
    """Scores."""
    grader: Mapping[str, object]
    """The grader, openai JSON."""
    rewards: RewardPolicy
    """What becomes of an ungraded completion."""
    clock: Clock
    """Told where the time goes."""
    usage: Usage
    """Told what was used."""
    parameter_count: int
    """Weights of the model, to count its compute by."""
    scaling: Scaling | None = None
    """Watches training steps sample; None where the number of samplers stays as it is."""

    def collect(
        self,
        items: Sequence[Item],
        sampling: Sampling,
        *,
        name: str,
        purpose: Purpose,
        step: int,
        policy_version: int,
        first_index: int = 0,
    ) -> list[Rollout]:
        """Sample and grade `items`, in their order, all samples of an item together, numbered from `first_index`.

        `name` makes the completions' ids unique in the job and gives every call its own random draws. Raises Conflict
        POLICY_TOO_OLD where a replica holds an older policy than `policy_version`.
        """
        part = "sampling" if purpose is Purpose.TRAINING else "validation"
        prompts = [Prompt(f"{name}-{item.item_id}", item.messages, item.tools) for item in items]
        watching = self.scaling.watching() if self.scaling and purpose is Purpose.TRAINING else nullcontext()
        attributes = {"prompts": len(prompts), "policy_version": policy_version}
        with self.clock.part(part), spans.span("sample", **attributes), watching:
            groups = self.generation.generate(prompts, sampling, min_policy_version=policy_version)
        self.usage.add_sampling(groups, self.parameter_count)
        groups = [[_renumbered(one, first_index) for one in group] for group in groups]
        with self.clock.part("grading" if purpose is Purpose.TRAINING else part), spans.span("grade"):
            return self._grade(items, groups, purpose, step)

    def _grade(
        self, items: Sequence[Item], groups: Sequence[list[Completion]], purpose: Purpose, step: int
    ) -> list[Rollout]:
        rows = [(index, completion) for index, group in enumerate(groups) for completion in group]
        began = time.time()
        batch = self.grading.grade(
            json.dumps(self.grader),
            items_json=[item.fields_json for item in items],
            output_texts=[completion.final_answer for _, completion in rows],
            item_indexes=[index for index, _ in rows],
            finish_reasons=[completion.finish_reason for _, completion in rows],
            samples_json=samples_json(self.grader, [completion for _, completion in rows]),
        )
        between = (began, time.time())
        self.usage.judge_tokens += sum(batch.judge_tokens.values())
        return [
            self._rollout(items[index], completion, grade, purpose, step, between)
            for (index, completion), grade in zip(rows, batch.grades, strict=True)
        ]

    def _rollout(
        self,
        item: Item,
        completion: Completion,
        grade: Grade,
        purpose: Purpose,
        step: int,
        graded_between: tuple[float, float],
    ) -> Rollout:
        reward = reward_of(grade, self.rewards) if purpose is Purpose.TRAINING else None
        return Rollout(
            item_id=item.item_id,
            messages=item.messages,
            fields_json=item.fields_json,
            completion=completion,
            grade=grade,
            step=step,
            purpose=purpose,
            reward=reward.value if reward else None,
            reward_source=reward.source if reward else None,
            tools=item.tools,
            graded_between=graded_between,
        )


def _renumbered(completion: Completion, first_index: int) -> Completion:
    index = completion.index + first_index
    prompt_id = completion.completion_id.removesuffix(f"-{completion.index}")
    return replace(completion, index=index, completion_id=f"{prompt_id}-{index}")


def trajectories_of(rollouts: Sequence[Rollout], traceparents: Mapping[str, str]) -> list[Trajectory]:
    """Return what the learner sees: the completions that have a reward, grouped by their items.

    `traceparents` has, by completion, those that have a trace of their own.
    """
    return [
        Trajectory(
            group_id=rollout.item_id,
            completion=rollout.completion,
            reward=rollout.reward,
            traceparent=traceparents.get(rollout.completion.completion_id, ""),
        )
        for rollout in rollouts
        if rollout.reward is not None
    ]
