"""A broadcast that fails is made good by streams."""

from collections.abc import Callable

import grpc
import pytest
from prometheus_client import REGISTRY
from tests.integration.policy_delivery.conftest import Delivery, sampler_of

from pinetune.api.generation.v1 import generation_pb2
from pinetune.generation.service import GenerationService
from pinetune.pod.errors import Busy, Conflict, PinetuneError, TimedOut


class NoBroadcasts(GenerationService):
    """Takes streams only."""

    refusal: PinetuneError

    def ReceivePolicy(
        self, request: generation_pb2.ReceivePolicyRequest, context: grpc.ServicerContext
    ) -> generation_pb2.ReceivePolicyResponse:
        raise self.refusal


class BusyWithOthers(NoBroadcasts):
    refusal = Busy("not now", reason="SPOOL_FULL", retry_after_seconds=0.1)


class StartedAgain(NoBroadcasts):
    refusal = Conflict("2 of 9 tensors are neither held nor sent", reason="TENSORS_NOT_SENT")


class TooSlow(NoBroadcasts):
    refusal = TimedOut("not in time", reason="DEADLINE")


def broken_broadcasts() -> float:
    return REGISTRY.get_sample_value("pinetune_worker_broken_broadcasts_total") or 0.0


@pytest.mark.parametrize("service", [BusyWithOthers, StartedAgain, TooSlow])
def test_a_broadcast_that_fails_is_counted_and_made_good_by_streams(
    service: type[GenerationService], deliver: Callable[..., Delivery]
) -> None:
    before = broken_broadcasts()
    job = deliver("broadcast", service=lambda model: sampler_of(model, service=service))
    job.loop.run()
    assert job.learning.updates == [1, 2]
    # The warmed-up policy and one for each update.
    assert broken_broadcasts() - before == 3
