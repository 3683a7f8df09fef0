"""Tells what an update made of the rollouts that have a trace of their own: the last span of each."""

import time
from collections.abc import Sequence

from pinetune.api.learning.v1 import learning_pb2 as wire
from pinetune.learning.ppo import Trajectory, Watch
from pinetune.pod import spans


class LearnedTraces:
    """The traced rollouts of one update."""

    def __init__(self, request: wire.UpdateRequest) -> None:
        """Take the traces out of the request: a repeated call that differs in nothing else is the same call."""
        self._traceparents = {one.completion_id: one.traceparent for one in request.trajectories if one.traceparent}
        for one in request.trajectories:
            if one.traceparent:
                one.ClearField("traceparent")
        self._begun = time.time()
        self._advantages: Sequence[float] = ()

    @property
    def watch(self) -> Watch | None:
        """What takes up each trajectory's advantage; None where nobody wants to know."""
        return self._take if self._traceparents and spans.on() else None

    def tell(self, trajectories: Sequence[Trajectory], step: int) -> None:
        """Tell that they were learnt from."""
        for trajectory, advantage in zip(trajectories, self._advantages, strict=False):
            if (traceparent := self._traceparents.get(trajectory.completion_id)) is not None:
                spans.follow(
                    traceparent,
                    "learned",
                    begun=self._begun,
                    ended=time.time(),
                    step=step,
                    completion_id=trajectory.completion_id,
                    advantage=advantage,
                    reward=trajectory.reward,
                    policy_version=trajectory.policy_version,
                )

    def _take(self, advantages: Sequence[float]) -> None:
        self._advantages = advantages
