"""Gives a few rollouts of each training step a trace of their own, from prompt to gradient.

    rollout             item, prompt, completion, policy version, reward; links to the step, and the step to it
      sampled           replica, tokens, finish reason
      graded            grader, score or class of error
      learned           advantage; told by the learner, to whom the trajectory brings the trace

A step's rollouts share their calls, so the first two are told afterwards, by the times that the loop saw. No texts.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pinetune.jobs.rollout_files import Rollout
from pinetune.pod import spans
from pinetune.pod.errors import PinetuneError

R = TypeVar("R")


@dataclass(frozen=True)
class RolloutTraces:
    """One job's traces of rollouts."""

    count: int = 0
    """How many rollouts of a step have one."""
    grader: str = ""
    """Kind of the job's grader."""

    @contextlib.contextmanager
    def following(self, rollouts: Sequence[Rollout]) -> Iterator[dict[str, str]]:
        """Tell how the rollouts came to be, and keep their traces open while the block learns from them.

        Gives what the learner needs to go on with each: a traceparent by completion.
        """
        traces = {}
        if spans.on():
            traces = {one.completion.completion_id: self._begun(one) for one in evenly(rollouts, self.count)}
        error_type = ""
        try:
            yield {completion_id: trace.traceparent for completion_id, trace in traces.items()}
        except Exception as error:
            error_type = error.reason if isinstance(error, PinetuneError) else type(error).__name__
            raise
        finally:
            for trace in traces.values():
                trace.end(error_type)

    def _begun(self, rollout: Rollout) -> spans.Span:
        completion, grade = rollout.completion, rollout.grade
        sampled, graded_between = completion.sampled, rollout.graded_between
        assert sampled is not None, "only what a sampler just answered is learnt from"
        assert graded_between is not None, "what is learnt from was just graded"
        trace = spans.new_trace(
            "rollout",
            begun=sampled.sent_time,
            item_id=rollout.item_id,
            prompt_id=completion.completion_id.removesuffix(f"-{completion.index}"),
            completion_id=completion.completion_id,
            policy_version=min((span.policy_version for span in completion.policy_spans), default=0),
        )
        if rollout.reward is not None:
            trace.note(reward=rollout.reward)
        if rollout.reward_source is not None:
            trace.note(reward_source=rollout.reward_source.value)
        trace.child(
            "sampled",
            begun=sampled.sent_time,
            ended=sampled.answered_time,
            replica=sampled.replica,
            prompt_tokens=len(completion.prompt_token_ids),
            tokens=len(completion.token_ids),
            finish_reason=completion.finish_reason.value,
        )
        outcome: dict[str, spans.Value] = {} if grade.score is None else {"score": grade.score}
        if grade.error is not None:
            outcome["error_class"] = grade.error.error_class
        trace.child("graded", begun=graded_between[0], ended=graded_between[1], grader=self.grader, **outcome)
        return trace


def evenly(rollouts: Sequence[R], count: int) -> list[R]:
    """Return at most `count` rollouts, spread evenly over a step's, so that they are of different prompts."""
    count = min(count, len(rollouts))
    return [rollouts[place * len(rollouts) // count] for place in range(count)]
