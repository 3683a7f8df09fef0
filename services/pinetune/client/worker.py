"""Client of the worker service: what a job's worker tells the jobs service, each call under the worker's lease.

A claim, commits, the beginning of a phase and the end are repeated while the service is away, as when a cluster moves
it, for it takes them up once. So it does events that are numbered; whether those are repeated is said with each call. A
heartbeat is sent once: the next one follows.
"""

from collections.abc import Sequence
from typing import TypeVar

import grpc

from pinetune.api.jobs.v1 import jobs_pb2, worker_pb2
from pinetune.api.jobs.v1.worker_pb2_grpc import WorkerServiceStub
from pinetune.client.calls import Unary, call, call_safe

S = TypeVar("S")
T = TypeVar("T")

CALL_DEADLINE_SECONDS = 60.0
HEARTBEAT_DEADLINE_SECONDS = 10.0
PATIENCE_SECONDS = 120.0
"""How long the jobs service may be away without work being lost."""


class WorkerClient:
    """One worker's line to the jobs service. Raises Conflict STALE_ATTEMPT once another worker has taken its work."""

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        work_id: str,
        attempt: int,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._stub = WorkerServiceStub(channel)
        self._lease = worker_pb2.Lease(work_id=work_id, attempt=attempt)

    def claim(self) -> worker_pb2.ClaimWorkResponse:
        """Take the work."""
        request = worker_pb2.ClaimWorkRequest(work_id=self._lease.work_id, attempt=self._lease.attempt)
        return self._call_patiently(self._stub.ClaimWork, request)

    def heartbeat(
        self,
        *,
        waiting_for: str,
        phase: jobs_pb2.JobPhase,
        total_steps: int,
        total_warm_up_steps: int,
        wanted_replicas: int = 0,
        patient: bool = False,
    ) -> worker_pb2.WorkerAction:
        """Say that the worker is alive; returns what the user wants. `patient` waits for a service that is away."""
        request = worker_pb2.HeartbeatRequest(
            lease=self._lease,
            waiting_for=waiting_for,
            phase=phase,
            total_steps=total_steps,
            total_warm_up_steps=total_warm_up_steps,
            wanted_replicas=wanted_replicas,
        )
        if patient:
            return self._call_patiently(self._stub.Heartbeat, request).action
        return call(self._stub.Heartbeat, request, deadline_seconds=HEARTBEAT_DEADLINE_SECONDS).action

    def commit_step(self, step: jobs_pb2.Step, usage: jobs_pb2.Usage) -> worker_pb2.WorkerAction:
        """Commit a step; returns what the user wants."""
        request = worker_pb2.CommitStepRequest(lease=self._lease, step=step, usage=usage)
        return self._call_patiently(self._stub.CommitStep, request).action

    def commit_checkpoint(self, checkpoint: jobs_pb2.Checkpoint) -> tuple[jobs_pb2.Checkpoint, list[str]]:
        """Record a checkpoint; returns it with its id, and the folders that may be deleted."""
        request = worker_pb2.CommitCheckpointRequest(lease=self._lease, checkpoint=checkpoint)
        response = self._call_patiently(self._stub.CommitCheckpoint, request)
        return response.checkpoint, list(response.deletable_uris)

    def append_events(self, events: Sequence[jobs_pb2.Event], *, first_number: int = 0, patient: bool = False) -> None:
        """Add events to the job's history; `patient` waits for a service that is away.

        `first_number` counts the attempt's events from 1, and those that were added already change nothing; 0 for not
        counted.
        """
        request = worker_pb2.AppendEventsRequest(lease=self._lease, events=events, first_number=first_number)
        if patient:
            self._call_patiently(self._stub.AppendEvents, request)
        else:
            call(self._stub.AppendEvents, request, deadline_seconds=CALL_DEADLINE_SECONDS)

    def commit_evaluation(self, evaluation: jobs_pb2.Evaluation) -> jobs_pb2.Evaluation:
        """Record a finished evaluation; returns it with its id."""
        request = worker_pb2.CommitEvaluationRequest(lease=self._lease, evaluation=evaluation)
        return self._call_patiently(self._stub.CommitEvaluation, request).evaluation

    def finish(
        self,
        state: jobs_pb2.JobState,
        *,
        error: jobs_pb2.JobError | None = None,
        model_uri: str = "",
        best_checkpoint_id: str = "",
        usage: jobs_pb2.Usage | None = None,
    ) -> None:
        """End the work."""
        request = worker_pb2.FinishWorkRequest(
            lease=self._lease,
            state=state,
            error=error,
            model_uri=model_uri,
            best_checkpoint_id=best_checkpoint_id,
            usage=usage,
        )
        self._call_patiently(self._stub.FinishWork, request)

    def _call_patiently(self, method: Unary[S, T], request: S) -> T:
        return call_safe(
            method, request, deadline_seconds=CALL_DEADLINE_SECONDS, patience_seconds=self._patience_seconds
        )
