"""The generation pod: `python -m pinetune.generation`."""

import sys
import time
from importlib.util import find_spec

from pinetune.api.generation.v1.generation_pb2_grpc import add_GenerationServiceServicer_to_server
from pinetune.client.grading import GradingClient
from pinetune.generation.config import GenerationSettings
from pinetune.generation.engine import Engine
from pinetune.generation.model_source import find_model
from pinetune.generation.service import SERVICE_NAME, GenerationService
from pinetune.pod.channel import connect
from pinetune.pod.config import load
from pinetune.pod.errors import InvalidInput, NotFound
from pinetune.pod.server import Pod, PodSettings, RegisteredService, run
from pinetune.pod.storage import open_address

NANO_RECEIPT = "nano.json"
"""What learning writes last into the folder of a nano model."""
LOOK_SECONDS = 0.2


def build(pod: Pod) -> list[RegisteredService]:
    """Make the service; the engine is loaded once the ports are open, so that probes see the pod starting."""
    settings = load(GenerationSettings)
    if settings.engine == "vllm" and find_spec("vllm") is None:
        raise InvalidInput(
            "PINETUNE_GENERATION_ENGINE: vllm is not installed; install pinetune[vllm] or use transformers",
            reason="ENGINE_MISSING",
        )
    grading = None
    if settings.grading_address:
        channel = connect(settings.grading_address)
        pod.add_shutdown(channel.close)
        grading = GradingClient(channel)
    service = GenerationService(settings.spool_dir, grading)

    def start() -> None:
        wait_for_nano(settings)
        find_model(settings.model)
        service.hold(make_engine(settings, pod))

    pod.add_startup(start)
    pod.add_shutdown(service.close)
    return [RegisteredService(SERVICE_NAME, lambda server: add_GenerationServiceServicer_to_server(service, server))]


def make_engine(settings: GenerationSettings, pod: Pod) -> Engine:
    """Load the model into the chosen engine. Raises InvalidInput with what to set instead."""
    # Imported here: torch, transformers and vllm take seconds, and a wrong setting should not.
    if settings.engine == "vllm":
        from pinetune.generation.vllm_engine import VllmEngine
        from pinetune.generation.vllm_settings import VllmOptions

        return VllmEngine(
            VllmOptions(
                model=settings.model,
                device=settings.device,
                dtype=settings.dtype,
                chat_template=settings.chat_template,
                parts_format=settings.parts_format,
                max_model_tokens=settings.max_model_tokens,
                threads=settings.threads,
                local_files_only=settings.local_files_only,
                tensor_parallel_size=settings.tensor_parallel_size,
                memory_fraction=settings.memory_fraction,
                kv_cache_memory_bytes=settings.kv_cache_memory_bytes,
                prefix_caching=settings.prefix_caching,
                running_completions_max=settings.running_completions_max,
                waiting_completions_max=settings.waiting_completions_max,
                on_death=pod.fail,
            )
        )
    from pinetune.generation.transformers_engine import EngineOptions, TransformersEngine

    return TransformersEngine(
        EngineOptions(
            model=settings.model,
            device=settings.device,
            dtype=settings.dtype,
            chat_template=settings.chat_template,
            parts_format=settings.parts_format,
            max_batch_tokens=settings.max_batch_tokens,
            max_model_tokens=settings.max_model_tokens,
            threads=settings.threads,
            local_files_only=settings.local_files_only,
            waiting_calls_max=settings.waiting_calls_max,
            waiting_tokens_max=settings.waiting_tokens_max,
            kv_cache_memory_bytes=settings.kv_cache_memory_bytes,
        )
    )


def wait_for_nano(settings: GenerationSettings) -> None:
    """Wait until the job's learner has made the nano model; at once where the model is expected to be there."""
    give_up = time.monotonic() + settings.wait_for_model_seconds
    while settings.wait_for_model_seconds and not _is_made(settings.model):
        if time.monotonic() > give_up:
            raise NotFound(
                f"{settings.model}: no nano model was made there within {settings.wait_for_model_seconds:g} s; the "
                "learner's log says why",
                reason="MODEL_NOT_FOUND",
            )
        time.sleep(LOOK_SECONDS)


def _is_made(model: str) -> bool:
    filesystem, folder = open_address(model, field="PINETUNE_GENERATION_MODEL")
    return bool(filesystem.exists(f"{folder}/{NANO_RECEIPT}"))


if __name__ == "__main__":
    sys.exit(run("generation", load(PodSettings), build))
