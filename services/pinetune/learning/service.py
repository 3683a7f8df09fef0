"""The learning service: messages in, one learner behind them, messages out.

Calls change the learner one at a time and in the order they came; a call that finds another one running waits for it,
until its own deadline. So a caller that lost patience with a step and asks again gets that step's answer. Only
`DescribeLearner` never waits.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from functools import partial
from typing import TypeVar

import grpc
import torch
from google.protobuf.message import Message

from pinetune.api.generation.v1 import generation_pb2
from pinetune.api.learning.v1 import learning_pb2 as wire
from pinetune.api.learning.v1.learning_pb2_grpc import LearningServiceServicer
from pinetune.client.broadcast_group import Backend
from pinetune.client.policy_stream import StreamedPolicy
from pinetune.learning import metrics
from pinetune.learning.broadcasting import broadcast
from pinetune.learning.checkpoints import restore_checkpoint, save_checkpoint
from pinetune.learning.learner import Learner, LearnerState, Order, request_hash
from pinetune.learning.nano import make_nano_model
from pinetune.learning.ppo import Trajectory
from pinetune.learning.pushing import push
from pinetune.learning.rollout_traces import LearnedTraces
from pinetune.learning.settings import (
    AdvantageEstimator,
    ComputeSettings,
    NanoSettings,
    OptimizerSettings,
    Schedule,
    UpdateSettings,
    ValueHeadStart,
    WarmUpSettings,
)
from pinetune.learning.warm_up import Example
from pinetune.pod.errors import Busy, Conflict, InvalidInput, Unsupported
from pinetune.pod.manifest_messages import manifest_message

SERVICE_NAME = wire.DESCRIPTOR.services_by_name["LearningService"].full_name
SCHEDULES = {
    wire.SCHEDULE_UNSPECIFIED: Schedule.CONSTANT,
    wire.SCHEDULE_CONSTANT: Schedule.CONSTANT,
    wire.SCHEDULE_LINEAR: Schedule.LINEAR,
    wire.SCHEDULE_COSINE: Schedule.COSINE,
}
ESTIMATORS = {
    wire.ADVANTAGE_ESTIMATOR_UNSPECIFIED: AdvantageEstimator.GAE,
    wire.ADVANTAGE_ESTIMATOR_GAE: AdvantageEstimator.GAE,
    wire.ADVANTAGE_ESTIMATOR_GRPO: AdvantageEstimator.GRPO,
    wire.ADVANTAGE_ESTIMATOR_RLOO: AdvantageEstimator.RLOO,
    wire.ADVANTAGE_ESTIMATOR_REINFORCE_PLUS_PLUS: AdvantageEstimator.REINFORCE_PLUS_PLUS,
    wire.ADVANTAGE_ESTIMATOR_DR_GRPO: AdvantageEstimator.DR_GRPO,
}
VALUE_HEAD_STARTS = {
    wire.VALUE_HEAD_START_UNSPECIFIED: ValueHeadStart.FITTED,
    wire.VALUE_HEAD_START_FITTED: ValueHeadStart.FITTED,
    wire.VALUE_HEAD_START_ZERO: ValueHeadStart.ZERO,
    wire.VALUE_HEAD_START_RANDOM: ValueHeadStart.RANDOM,
}
RETRY_SECONDS = 5.0
PUSH_SECONDS_MAX = 3600.0
"""Deadline of a push whose caller gave none."""

S = TypeVar("S")
K = TypeVar("K")
V = TypeVar("V")


class LearningService(LearningServiceServicer):
    """Serves one learner."""

    def __init__(self, *, world_size: int = 1, broadcast_backend: Backend = "gloo") -> None:
        self._world_size = world_size
        self._broadcast = partial(broadcast, backend=broadcast_backend)
        self._learner: Learner | None = None
        self._state = LearnerState()
        self._turn = threading.Lock()

    def MakeNanoModel(
        self, request: wire.MakeNanoModelRequest, context: grpc.ServicerContext
    ) -> wire.MakeNanoModelResponse:
        """Make a base model from nothing."""
        _require(request, "settings", "corpus_uri", "model_uri")
        with self._waited_turn(context):
            made = make_nano_model(
                _settings(NanoSettings, request.settings),
                corpus_uri=request.corpus_uri,
                model_uri=request.model_uri,
                seed=request.seed,
            )
        return wire.MakeNanoModelResponse(**asdict(made))

    def Open(self, request: wire.OpenRequest, context: grpc.ServicerContext) -> wire.OpenResponse:
        """Load the base model; opening the same job again starts it over, for a checkpoint to be restored next."""
        _require(request, "job_id", "model_uri", "compute")
        with self._waited_turn(context):
            if self._learner is not None and self._learner.order.job_id != request.job_id:
                raise Conflict(
                    f"job {self._learner.order.job_id} is open here; a learning service belongs to one job",
                    reason="OTHER_JOB_OPEN",
                    job_id=self._learner.order.job_id,
                )
            order = order_of(request)
            # The old model's memory is needed for the new one.
            self._learner, self._state = None, LearnerState()
            self._learner = Learner(order)
            return wire.OpenResponse(state=self._refreshed_state())

    def WarmUp(self, request: wire.WarmUpRequest, context: grpc.ServicerContext) -> wire.WarmUpResponse:
        """Take one supervised step."""
        with self._open_learner(context) as learner:
            done = learner.warm_up_steps.last_step
            measured = learner.warm_up(request.step, _examples(request.sequences), request_hash=_hash(request))
            if learner.warm_up_steps.last_step > done:
                metrics.show_warm_up(request.step, measured)
            return wire.WarmUpResponse(metrics=wire.WarmUpMetrics(**asdict(measured)), state=self._refreshed_state())

    def FreezeReference(
        self, request: wire.FreezeReferenceRequest, context: grpc.ServicerContext
    ) -> wire.FreezeReferenceResponse:
        """Freeze the reference policy."""
        with self._open_learner(context) as learner:
            learner.freeze_reference()
            return wire.FreezeReferenceResponse(state=self._refreshed_state())

    def Update(self, request: wire.UpdateRequest, context: grpc.ServicerContext) -> wire.UpdateResponse:
        """Take one policy update."""
        with self._open_learner(context) as learner:
            done = learner.update_steps.last_step
            traces = LearnedTraces(request)
            trajectories = [_trajectory(message) for message in request.trajectories]
            measured = learner.update(request.step, trajectories, request_hash=_hash(request), watch=traces.watch)
            if learner.update_steps.last_step > done:
                metrics.show_update(request.step, measured)
                traces.tell(trajectories, request.step)
            return wire.UpdateResponse(metrics=wire.UpdateMetrics(**asdict(measured)), state=self._refreshed_state())

    def Score(self, request: wire.ScoreRequest, context: grpc.ServicerContext) -> wire.ScoreResponse:
        """Score tokens under the current policy."""
        with self._open_learner(context) as learner:
            rows = learner.score(_examples(request.sequences))
            return wire.ScoreResponse(
                sequences=[generation_pb2.TokenLogprobs(logprobs=row) for row in rows],
                policy_version=learner.policy_version + learner.changed,
            )

    def SavePolicy(self, request: wire.SavePolicyRequest, context: grpc.ServicerContext) -> wire.SavePolicyResponse:
        """Write the current policy."""
        _require(request, "policy_uri")
        with self._open_learner(context) as learner:
            started = time.perf_counter()
            manifest = learner.save_policy(request.policy_uri, request.policy_version)
            self._refreshed_state()
            return wire.SavePolicyResponse(manifest=manifest_message(manifest), seconds=time.perf_counter() - started)

    def PushPolicy(self, request: wire.PushPolicyRequest, context: grpc.ServicerContext) -> wire.PushPolicyResponse:
        """Send a policy to generation services."""
        with self._open_learner(context) as learner:
            started = time.perf_counter()
            remaining: float | None = context.time_remaining()
            manifest, pushed = learner.push_policy(
                list(request.addresses),
                request.policy_version,
                request.policy_uri,
                send=self._broadcast if request.broadcast and request.addresses else push,
                deadline_seconds=min(remaining, PUSH_SECONDS_MAX) if remaining is not None else PUSH_SECONDS_MAX,
            )
            self._refreshed_state()
            return wire.PushPolicyResponse(
                content_hash=manifest.content_hash,
                services=[_pushed(*pair) for pair in zip(request.addresses, pushed, strict=True)],
                seconds=time.perf_counter() - started,
            )

    def SaveCheckpoint(
        self, request: wire.SaveCheckpointRequest, context: grpc.ServicerContext
    ) -> wire.SaveCheckpointResponse:
        """Write all that is needed to go on."""
        _require(request, "checkpoint_uri")
        with self._open_learner(context) as learner:
            started = time.perf_counter()
            saved = save_checkpoint(learner, request.checkpoint_uri, request.data_position_json)
            return wire.SaveCheckpointResponse(**asdict(saved), seconds=time.perf_counter() - started)

    def RestoreCheckpoint(
        self, request: wire.RestoreCheckpointRequest, context: grpc.ServicerContext
    ) -> wire.RestoreCheckpointResponse:
        """Go back to a checkpoint."""
        _require(request, "checkpoint_uri")
        with self._open_learner(context) as learner:
            position = restore_checkpoint(learner, request.checkpoint_uri)
            return wire.RestoreCheckpointResponse(state=self._refreshed_state(), data_position_json=position)

    def DescribeLearner(
        self, request: wire.DescribeLearnerRequest, context: grpc.ServicerContext
    ) -> wire.DescribeLearnerResponse:
        """Say what is held, as of the last call that ended."""
        state = wire.LearnerState(**asdict(self._state))
        return wire.DescribeLearnerResponse(
            state=state, torch_version=str(torch.__version__), world_size=self._world_size
        )

    @contextlib.contextmanager
    def _waited_turn(self, context: grpc.ServicerContext) -> Iterator[None]:
        remaining: float | None = context.time_remaining()
        # Without a deadline gRPC says so by None, or by a number that no lock can wait for.
        timeout = min(remaining, threading.TIMEOUT_MAX) if remaining is not None else threading.TIMEOUT_MAX
        if not self._turn.acquire(timeout=max(0.0, timeout)):
            raise Busy(
                "another call is still running; repeat this one later",
                reason="LEARNER_BUSY",
                retry_after_seconds=RETRY_SECONDS,
            )
        try:
            yield
        finally:
            self._turn.release()

    @contextlib.contextmanager
    def _open_learner(self, context: grpc.ServicerContext) -> Iterator[Learner]:
        with self._waited_turn(context):
            if self._learner is None:
                raise Conflict("no job is open; call Open first", reason="NO_JOB_OPEN")
            yield self._learner

    def _refreshed_state(self) -> wire.LearnerState:
        assert self._learner is not None
        self._state = self._learner.state
        metrics.show_state(self._state)
        return wire.LearnerState(**asdict(self._state))


def _pushed(address: str, one: StreamedPolicy) -> wire.PushedPolicy:
    return wire.PushedPolicy(
        address=address,
        policy=generation_pb2.PolicyState(
            policy_version=one.policy_version, content_hash=one.content_hash, load_time=one.load_time
        ),
        sent_bytes=one.sent_bytes,
        sent_tensor_count=one.sent_tensor_count,
    )


def order_of(request: wire.OpenRequest) -> Order:
    """Read what a job asks for; what stands in the messages counts, there are no defaults."""
    if request.compute.gradient_checkpointing:
        raise Unsupported(
            "compute.gradient_checkpointing must be false; it is true. Activations are kept in this release: lower "
            "compute.max_tokens_per_pass to save memory",
            reason="GRADIENT_CHECKPOINTING_UNSUPPORTED",
            field="compute.gradient_checkpointing",
        )
    warm_up, update = None, None
    if request.HasField("warm_up"):
        _require(request.warm_up, "optimizer")
        warm_up = WarmUpSettings(_optimizer(request.warm_up.optimizer), request.warm_up.step_count)
    if request.HasField("update"):
        _require(request.update, "optimizer")
        update = _settings(
            UpdateSettings,
            request.update,
            optimizer=_optimizer(request.update.optimizer),
            value_head_start=_known(VALUE_HEAD_STARTS, request.update.value_head_start, "update.value_head_start"),
            advantage_estimator=_known(ESTIMATORS, request.update.advantage_estimator, "update.advantage_estimator"),
        )
    return Order(
        job_id=request.job_id,
        model_uri=request.model_uri,
        warm_up=warm_up,
        update=update,
        compute=_settings(ComputeSettings, request.compute),
        seed=request.seed,
    )


def _optimizer(message: wire.OptimizerSettings) -> OptimizerSettings:
    return _settings(OptimizerSettings, message, schedule=_known(SCHEDULES, message.schedule, "optimizer.schedule"))


def _settings(kind: Callable[..., S], message: Message, **given: object) -> S:
    """Make frozen settings from the message's fields of the same names, but for those already `given`."""
    names = [field.name for field in fields(kind) if field.name not in given]  # type: ignore[arg-type]  # dataclasses
    return kind(**given, **{name: getattr(message, name) for name in names})


def _known(table: Mapping[K, V], value: K, field: str) -> V:
    if value not in table:
        raise InvalidInput(f"{field}: this release knows no value {value}", reason="ENUM_UNKNOWN", field=field)
    return table[value]


def _require(message: Message, *names: str) -> None:
    present = {field.name for field, _ in message.ListFields()}
    missing = [name for name in names if name not in present]
    if missing:
        raise InvalidInput(f"{missing[0]} must be set", reason="FIELD_MISSING", field=missing[0])


def _hash(request: wire.WarmUpRequest | wire.UpdateRequest) -> str:
    return request_hash(request.SerializeToString(deterministic=True))


def _examples(sequences: Iterable[generation_pb2.TokenSequence]) -> list[Example]:
    return [Example(list(sequence.prompt_token_ids), list(sequence.token_ids)) for sequence in sequences]


def _trajectory(message: wire.Trajectory) -> Trajectory:
    written = sum(span.token_count for span in message.policy_spans)
    if written != len(message.token_ids):
        raise InvalidInput(
            f"trajectory of completion {message.completion_id!r}: the token counts of policy_spans must add up to the "
            f"number of token_ids, {len(message.token_ids)}; given {written}",
            reason="POLICY_SPANS_LENGTH",
            completion_id=message.completion_id,
        )
    return Trajectory(
        completion_id=message.completion_id,
        group_id=message.group_id,
        prompt_token_ids=list(message.prompt_token_ids),
        token_ids=list(message.token_ids),
        logprobs=list(message.logprobs),
        reward=message.reward,
        policy_version=min((span.policy_version for span in message.policy_spans), default=0),
    )
