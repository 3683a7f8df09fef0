import threading
from collections.abc import Iterator

import grpc
import pytest
from tests.fakes.jobs_service import FakeJobs, serving

from pinetune.api.grading.v1 import grading_pb2
from pinetune.client.forwarding import forwarding
from pinetune.client.grading import GradingClient
from pinetune.pod.channel import connect
from pinetune.pod.errors import InvalidInput
from pinetune.pod.server import Pod, RegisteredService, start
from pinetune.pod.settings import PodSettings

SERVICE = "pinetune.api.grading.v1.GradingService"


@pytest.fixture
def address() -> Iterator[str]:
    with serving(FakeJobs()) as behind, connect(behind) as channel:
        pod = served(forwarding(SERVICE, ["Grade", "ValidateGrader"], channel))
        yield pod.grpc_address
        pod.close()


@pytest.fixture
def client(address: str) -> Iterator[GradingClient]:
    with connect(address) as front:
        yield GradingClient(front)


def test_a_call_is_answered_by_the_pod_behind(client: GradingClient) -> None:
    batch = client.grade(
        '{"type": "number"}', items_json=['{"answer": "4"}'], output_texts=["it is 4", "it is 5"], item_indexes=[0, 0]
    )
    assert [grade.score for grade in batch.grades] == [1.0, 0.0]


def test_a_caller_without_a_deadline_is_answered(address: str) -> None:
    with grpc.insecure_channel(address) as front:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = front.unary_unary(f"/{SERVICE}/ValidateGrader")
        request = grading_pb2.ValidateGraderRequest(grader=grading_pb2.GraderSpec(json='{"type": "number"}'))
        assert call(request.SerializeToString())


def test_a_call_whose_caller_leaves_is_cancelled_behind_too() -> None:
    begun, cancelled = threading.Event(), threading.Event()

    def wait(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(cancelled.set)
        begun.set()
        cancelled.wait(20)
        return b""

    waiting: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(wait)
    behind = served(grpc.method_handlers_generic_handler(SERVICE, {"Grade": waiting}))
    with connect(behind.grpc_address) as channel:
        front = served(forwarding(SERVICE, ["Grade"], channel))
        with grpc.insecure_channel(front.grpc_address) as caller:
            ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = caller.unary_unary(f"/{SERVICE}/Grade")
            call = ask.future(b"", timeout=60)
            assert begun.wait(20)
            call.cancel()
            assert cancelled.wait(20)
        front.close()
    behind.close()


def served(handler: grpc.GenericRpcHandler) -> Pod:
    service = RegisteredService(SERVICE, lambda server: server.add_generic_rpc_handlers((handler,)))
    return start("jobs", PodSettings(), lambda _: [service])


def test_an_error_of_the_pod_behind_arrives_as_it_was_meant(client: GradingClient) -> None:
    with pytest.raises(InvalidInput, match="did you mean number") as raised:
        client.validate('{"type": "nuber"}')
    assert raised.value.reason == "INVALID_GRADER"


def test_a_pod_behind_that_is_gone_is_said_to_be_unavailable() -> None:
    with connect("127.0.0.1:1") as nowhere:
        pod = served(forwarding(SERVICE, ["Grade"], nowhere))
        with grpc.insecure_channel(pod.grpc_address) as front:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = front.unary_unary(f"/{SERVICE}/Grade")
            with pytest.raises(grpc.RpcError) as raised:
                call(b"", timeout=20)
        pod.close()
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
