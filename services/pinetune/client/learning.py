"""Client of the learning service: sequences to imitate and graded trajectories in, measurements and policies out.

Measurements (`WarmUpMetrics`, `UpdateMetrics`) stay messages: the loop hands them on to the job's history unread.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from pinetune.api.learning.v1 import learning_pb2 as wire
from pinetune.api.learning.v1.learning_pb2_grpc import LearningServiceStub
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.calls import call
from pinetune.client.prompts import TokenSequence
from pinetune.client.rollout import FINISH_REASON_TO_WIRE, Completion

OPEN_DEADLINE_SECONDS = 1800.0
STEP_DEADLINE_SECONDS = 3600.0
SAVE_DEADLINE_SECONDS = 1800.0
SCORE_DEADLINE_SECONDS = 120.0


@dataclass(frozen=True)
class LearnerState:
    """How far the learner is."""

    policy_version: int
    """Version of the last saved policy; 0 is the base model."""
    warm_up_step: int
    """Last warm-up step done."""
    update_step: int
    """Last update step done."""
    reference_frozen: bool
    """True once the warmed-up policy is the reference."""
    parameter_count: int
    """Number of weights, the value head left out."""
    weights_changed: bool = False
    """Whether weights have changed since `policy_version` was saved."""


@dataclass(frozen=True)
class Trajectory:
    """A completion with the reward that the learner sees."""

    group_id: str
    """Completions of the same prompt in the same step share it."""
    completion: Completion
    """The sampled tokens."""
    reward: float
    """Given at the last token."""
    traceparent: str = ""
    """W3C trace context of the rollout, where it has a trace of its own."""

    def to_wire(self) -> wire.Trajectory:
        """Spell as a message."""
        completion = self.completion
        return wire.Trajectory(
            completion_id=completion.completion_id,
            group_id=self.group_id,
            prompt_token_ids=completion.prompt_token_ids,
            token_ids=completion.token_ids,
            logprobs=completion.logprobs,
            policy_spans=[
                rollout_pb2.PolicySpan(policy_version=span.policy_version, token_count=span.token_count)
                for span in completion.policy_spans
            ],
            reward=self.reward,
            finish_reason=FINISH_REASON_TO_WIRE[completion.finish_reason],
            traceparent=self.traceparent,
        )


@dataclass(frozen=True)
class SavedPolicy:
    """A policy on storage, its manifest written."""

    policy_version: int
    """Its version."""
    content_hash: str
    """Over all its tensors."""
    seconds: float
    """What writing took."""


@dataclass(frozen=True)
class PushedPolicy:
    """A policy that services were sent."""

    content_hash: str
    """Over all its tensors, as the learner computed it."""
    sent_bytes: int
    """Bytes of tensors that were sent, to all services together."""
    seconds: float
    """What sending took."""


class LearningClient:
    """Trains one job's policy at one learning service."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = LearningServiceStub(channel)

    def make_nano_model(self, settings: wire.NanoSettings, *, corpus_uri: str, model_uri: str, seed: int) -> int:
        """Make a nano model from nothing at `model_uri`; returns its number of weights."""
        request = wire.MakeNanoModelRequest(settings=settings, corpus_uri=corpus_uri, model_uri=model_uri, seed=seed)
        return call(self._stub.MakeNanoModel, request, deadline_seconds=OPEN_DEADLINE_SECONDS).parameter_count

    def open(self, request: wire.OpenRequest) -> LearnerState:
        """Load the model and prepare to train it."""
        return _state(call(self._stub.Open, request, deadline_seconds=OPEN_DEADLINE_SECONDS).state)

    def warm_up(self, step: int, sequences: Sequence[TokenSequence]) -> wire.WarmUpMetrics:
        """Do one supervised step."""
        request = wire.WarmUpRequest(step=step, sequences=[sequence.to_wire() for sequence in sequences])
        return call(self._stub.WarmUp, request, deadline_seconds=STEP_DEADLINE_SECONDS).metrics

    def freeze_reference(self) -> LearnerState:
        """Make the current policy the reference of the KL penalty."""
        request = wire.FreezeReferenceRequest()
        return _state(call(self._stub.FreezeReference, request, deadline_seconds=OPEN_DEADLINE_SECONDS).state)

    def update(self, step: int, trajectories: Sequence[Trajectory]) -> wire.UpdateMetrics:
        """Do one policy update."""
        request = wire.UpdateRequest(step=step, trajectories=[trajectory.to_wire() for trajectory in trajectories])
        return call(self._stub.Update, request, deadline_seconds=STEP_DEADLINE_SECONDS).metrics

    def score(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """Return the log-probability of each token of each sequence under the current policy."""
        request = wire.ScoreRequest(sequences=[sequence.to_wire() for sequence in sequences])
        response = call(self._stub.Score, request, deadline_seconds=SCORE_DEADLINE_SECONDS)
        return [list(sequence.logprobs) for sequence in response.sequences]

    def save_policy(self, policy_uri: str, *, policy_version: int) -> SavedPolicy:
        """Write the current policy as a Hugging Face folder with its manifest."""
        request = wire.SavePolicyRequest(policy_uri=policy_uri, policy_version=policy_version)
        response = call(self._stub.SavePolicy, request, deadline_seconds=SAVE_DEADLINE_SECONDS)
        return SavedPolicy(response.manifest.policy_version, response.manifest.content_hash, response.seconds)

    def push_policy(
        self, addresses: Sequence[str], *, policy_version: int, policy_uri: str = "", broadcast: bool = False
    ) -> PushedPolicy:
        """Send the current policy, or the saved one in `policy_uri`, straight to generation services."""
        request = wire.PushPolicyRequest(
            addresses=addresses, policy_version=policy_version, policy_uri=policy_uri, broadcast=broadcast
        )
        response = call(self._stub.PushPolicy, request, deadline_seconds=SAVE_DEADLINE_SECONDS)
        sent_bytes = sum(service.sent_bytes for service in response.services)
        return PushedPolicy(response.content_hash, sent_bytes, response.seconds)

    def save_checkpoint(self, checkpoint_uri: str, *, data_position_json: str) -> None:
        """Write all that is needed to go on from here."""
        request = wire.SaveCheckpointRequest(checkpoint_uri=checkpoint_uri, data_position_json=data_position_json)
        call(self._stub.SaveCheckpoint, request, deadline_seconds=SAVE_DEADLINE_SECONDS)

    def restore_checkpoint(self, checkpoint_uri: str) -> tuple[LearnerState, str]:
        """Go back to a checkpoint; returns the state and the data position that were saved."""
        request = wire.RestoreCheckpointRequest(checkpoint_uri=checkpoint_uri)
        response = call(self._stub.RestoreCheckpoint, request, deadline_seconds=OPEN_DEADLINE_SECONDS)
        return _state(response.state), response.data_position_json


def _state(message: wire.LearnerState) -> LearnerState:
    return LearnerState(
        policy_version=message.policy_version,
        warm_up_step=message.warm_up_step,
        update_step=message.update_step,
        reference_frozen=message.reference_frozen,
        parameter_count=message.parameter_count,
        weights_changed=message.weights_changed,
    )
