"""The learning pod: `python -m pinetune.learning`."""

import os
import sys

import torch

from pinetune.api.learning.v1.learning_pb2_grpc import add_LearningServiceServicer_to_server
from pinetune.learning.config import LearningSettings
from pinetune.learning.service import SERVICE_NAME, LearningService
from pinetune.pod.config import load
from pinetune.pod.errors import InvalidInput
from pinetune.pod.server import Pod, PodSettings, RegisteredService, run


def build(pod: Pod) -> list[RegisteredService]:
    """Make the service of this process."""
    settings = load(LearningSettings)
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size != 1:
        raise InvalidInput(
            f"WORLD_SIZE is {world_size}: learning on several processes is not there yet; start one",
            reason="WORLD_SIZE_UNSUPPORTED",
        )
    if settings.threads:
        torch.set_num_threads(settings.threads)
    service = LearningService(broadcast_backend=settings.broadcast_backend)
    return [RegisteredService(SERVICE_NAME, lambda server: add_LearningServiceServicer_to_server(service, server))]


if __name__ == "__main__":
    sys.exit(run("learning", load(PodSettings), build))
