from collections.abc import Iterator, Sequence

import grpc
import pytest
from tests.fakes.jobs_service import FakeJobs, serving

from pinetune.client.forwarding import forwarding
from pinetune.client.grading import GradingClient
from pinetune.pod.channel import connect
from pinetune.pod.errors import InvalidInput
from pinetune.pod.server import Pod, RegisteredService, start
from pinetune.pod.settings import PodSettings

SERVICE = "pinetune.api.grading.v1.GradingService"


@pytest.fixture
def client() -> Iterator[GradingClient]:
    with serving(FakeJobs()) as behind, connect(behind) as channel:

        def build(pod: Pod) -> Sequence[RegisteredService]:
            handler = forwarding(SERVICE, ["Grade", "ValidateGrader"], channel)
            return [RegisteredService(SERVICE, lambda server: server.add_generic_rpc_handlers((handler,)))]

        pod = start("jobs", PodSettings(), build)
        with connect(pod.grpc_address) as front:
            yield GradingClient(front)
        pod.close()


def test_a_call_is_answered_by_the_pod_behind(client: GradingClient) -> None:
    batch = client.grade(
        '{"type": "number"}', items_json=['{"answer": "4"}'], output_texts=["it is 4", "it is 5"], item_indexes=[0, 0]
    )
    assert [grade.score for grade in batch.grades] == [1.0, 0.0]


def test_an_error_of_the_pod_behind_arrives_as_it_was_meant(client: GradingClient) -> None:
    with pytest.raises(InvalidInput, match="did you mean number") as raised:
        client.validate('{"type": "nuber"}')
    assert raised.value.reason == "INVALID_GRADER"


def test_a_pod_behind_that_is_gone_is_said_to_be_unavailable() -> None:
    with connect("127.0.0.1:1") as nowhere:
        handler = forwarding(SERVICE, ["Grade"], nowhere)
        pod = start(
            "jobs",
            PodSettings(),
            lambda _: [RegisteredService(SERVICE, lambda server: server.add_generic_rpc_handlers((handler,)))],
        )
        with grpc.insecure_channel(pod.grpc_address) as front:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = front.unary_unary(f"/{SERVICE}/Grade")
            with pytest.raises(grpc.RpcError) as raised:
                call(b"", timeout=20)
        pod.close()
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
