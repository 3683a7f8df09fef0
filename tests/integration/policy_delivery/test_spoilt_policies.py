"""A policy that is spoilt on its way, or is another one, is refused before a step trains on it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import grpc
import pytest
from tests.integration.policy_delivery.conftest import FAULTY_VERSION, Delivery, sampler_of

from pinetune.api.generation.v1 import generation_pb2
from pinetune.generation.service import GenerationService
from pinetune.pod.errors import Conflict, Corrupt, PinetuneError
from pinetune.pod.manifest import content_hash_of
from pinetune.pod.manifest_messages import manifest_of_message

StreamRequests = Iterator[generation_pb2.StreamPolicyRequest]


def test_a_byte_that_object_storage_spoils_is_refused(deliver: Callable[..., Delivery]) -> None:
    def flip(_: Path) -> None:
        path = "/artifacts/policies/v000002/model.safetensors"
        store = fsspec.filesystem("memory")
        data = bytearray(store.cat_file(path))
        data[-5] ^= 1
        store.pipe_file(path, bytes(data))

    job = deliver("shared_storage", folder="memory://artifacts", meddle=flip)
    assert job.fails(Corrupt, r"; 1 of \d+ changed tensors are not").reason == "TENSOR_HASH_MISMATCH"


def flip_a_byte(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def keep_the_old_weights(folder: Path) -> None:
    shutil.copyfile(folder.parent / "v000001" / "model.safetensors", folder / "model.safetensors")


def keep_the_old_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(folder.parent / "v000001", folder)


@pytest.mark.parametrize(
    ("meddle", "kind", "sentence", "reason"),
    [
        (
            flip_a_byte,
            Corrupt,
            r"has SHA-256 .*, the manifest says .*; 1 of \d+ changed tensors are not",
            "TENSOR_HASH_MISMATCH",
        ),
        (keep_the_old_weights, Corrupt, r"; (\d+) of \1 changed tensors are not what", "TENSOR_HASH_MISMATCH"),
        (
            keep_the_old_folder,
            Conflict,
            "policy_version 2 was asked for, the manifest names 1",
            "POLICY_VERSION_MISMATCH",
        ),
    ],
    ids=["one byte", "the weights of the old policy", "the whole old policy"],
)
def test_what_storage_spoils_is_refused(
    meddle: Callable[[Path], None],
    kind: type[PinetuneError],
    sentence: str,
    reason: str,
    deliver: Callable[..., Delivery],
) -> None:
    error = deliver("shared_storage", meddle=meddle).fails(kind, sentence)
    assert error.reason == reason


class SpoiltStream(GenerationService):
    """Flips a bit of the first chunk of policy 2 on its way."""

    def StreamPolicy(
        self, request_iterator: StreamRequests, context: grpc.ServicerContext
    ) -> generation_pb2.StreamPolicyResponse:
        def spoilt() -> StreamRequests:
            version, spoils = 0, True
            for message in request_iterator:
                version = message.manifest.policy_version or version
                if version == FAULTY_VERSION and message.HasField("chunk") and spoils:
                    data = message.chunk.data
                    message.chunk.data = bytes([data[0] ^ 1]) + data[1:]
                    spoils = False
                yield message

        return super().StreamPolicy(spoilt(), context)


class RepeatedStream(GenerationService):
    """Is given policy 2 and gets the messages of policy 1 again."""

    def __init__(self) -> None:
        super().__init__()
        self._first: list[generation_pb2.StreamPolicyRequest] = []

    def StreamPolicy(
        self, request_iterator: StreamRequests, context: grpc.ServicerContext
    ) -> generation_pb2.StreamPolicyResponse:
        came = list(request_iterator)
        self._first = self._first or came
        return super().StreamPolicy(iter(self._first), context)


def test_a_spoilt_stream_is_refused(deliver: Callable[..., Delivery]) -> None:
    job = deliver("stream", service=lambda model: sampler_of(model, service=SpoiltStream))
    error = job.fails(Corrupt, r"policy 2 to 127\.0\.0\.1:\d+: tensor '.*' arrived with SHA-256 .*, the manifest says")
    assert error.reason == "TENSOR_HASH_MISMATCH"


def test_a_stream_that_brings_the_old_policy_is_found_by_asking_the_sampler(deliver: Callable[..., Delivery]) -> None:
    job = deliver("stream", service=lambda model: sampler_of(model, service=RepeatedStream))
    error = job.fails(Conflict, r"generation-0 was given policy 2 \(.*\) and holds policy 1 \(")
    assert error.reason == "POLICY_NOT_ATTESTED"


class SpoiltBroadcast(GenerationService):
    """Takes the first tensor of policy 2 for another one than is broadcast, as where a bit has flipped."""

    def ReceivePolicy(
        self, request: generation_pb2.ReceivePolicyRequest, context: grpc.ServicerContext
    ) -> generation_pb2.ReceivePolicyResponse:
        if request.manifest.policy_version == FAULTY_VERSION:
            entry = next(one for one in request.manifest.tensors if one.name == request.tensor_names[0])
            entry.sha256 = "0" * 64
            request.manifest.content_hash = content_hash_of(manifest_of_message(request.manifest))
        return super().ReceivePolicy(request, context)


def test_a_spoilt_broadcast_is_refused(deliver: Callable[..., Delivery]) -> None:
    job = deliver("broadcast", service=lambda model: sampler_of(model, service=SpoiltBroadcast))
    error = job.fails(Corrupt, r"policy 2 to 127\.0\.0\.1:\d+: tensor '.*' arrived with SHA-256 .*, the manifest says")
    assert error.reason == "TENSOR_HASH_MISMATCH"
