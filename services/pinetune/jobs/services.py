"""The services that one worker works with, reached by address; each is waited for until it serves."""

import grpc

from pinetune.client.calls import wait_until_serving
from pinetune.client.generation import GenerationClient
from pinetune.client.generation_replicas import GenerationReplicas
from pinetune.client.grading import GradingClient
from pinetune.client.learning import LearningClient
from pinetune.client.replica_set import Replica
from pinetune.client.worker import PATIENCE_SECONDS
from pinetune.jobs.journal import Journal
from pinetune.jobs.replica_news import ReplicaNews
from pinetune.jobs.worker_config import WorkerSettings
from pinetune.pod.channel import connect

READY_SECONDS = 600.0
"""How long a service that all jobs share may be away when a worker starts."""
POD_READY_SECONDS = 24 * 3600.0
"""How long a pod of the job may take to start: it may wait for a GPU, its turn or a large image. One that dies ends the
attempt by itself, and what keeps it from starting stands in the job."""


class Services:
    """Clients of one worker's services."""

    def __init__(self, settings: WorkerSettings, journal: Journal) -> None:
        self._settings, self._journal = settings, journal
        self.traced_rollouts = settings.traced_rollouts
        """Rollouts of a step that have a trace of their own."""

    def learning(self) -> LearningClient:
        """Return the learner once it serves."""
        address = self._settings.learning_address
        return LearningClient(self._channel("learning", address, seconds=POD_READY_SECONDS))

    def generation(self, count: int) -> GenerationReplicas:
        """Return the samplers once the first `count` serve; the others are not started yet."""
        replicas = [
            # The launcher names its processes so, in the order of their addresses.
            Replica(f"generation-{number}", GenerationClient(self._line(number < count, address), address))
            for number, address in enumerate(self._settings.generation_addresses.split(","))
        ]
        return GenerationReplicas(replicas, tell=ReplicaNews(self._journal, count), count=count)

    def grading(self) -> GradingClient:
        """Return the graders once they serve; later they may be away for as long as the jobs service."""
        channel = self._channel("grading", self._settings.grading_address, seconds=READY_SECONDS)
        return GradingClient(channel, patience_seconds=PATIENCE_SECONDS)

    def _line(self, started: bool, address: str) -> grpc.Channel:
        return self._channel("generation", address, seconds=POD_READY_SECONDS) if started else connect(address)

    def _channel(self, room: str, address: str, *, seconds: float) -> grpc.Channel:
        channel = connect(address)
        with self._journal.waiting(f"{room} at {address} to start"):
            # A job that waits for hours can be cancelled and paused meanwhile.
            wait_until_serving(
                channel, f"{room} at {address}", seconds=seconds, before_each=self._journal.stop_if_asked
            )
        return channel
