"""What the processes of an attempt are told by variables: the same wherever they run."""

from collections.abc import Sequence
from dataclasses import dataclass

from pinetune.jobs.launcher.base import WorkOrder

WAIT_FOR_MODEL_SECONDS = 1800


@dataclass(frozen=True)
class Addresses:
    """Where a worker finds the services it works with, each as `host:port`."""

    jobs: str
    """The jobs service."""
    grading: str
    """The grading service."""
    learning: Sequence[str]
    """The learner; none for an evaluation."""
    generation: Sequence[str]
    """The samplers."""


def learning_settings(order: WorkOrder) -> dict[str, str]:
    """Return the variables of the learner."""
    return _threads("LEARNING", order)


def generation_settings(order: WorkOrder) -> dict[str, str]:
    """Return the variables of each sampler."""
    engine = order.engine
    settings = {
        "PINETUNE_GENERATION_MODEL": order.model_uri,
        "PINETUNE_GENERATION_ENGINE": engine.name,
        "PINETUNE_GENERATION_DEVICE": engine.device,
        "PINETUNE_GENERATION_DTYPE": engine.dtype,
    }
    optional = {
        "TENSOR_PARALLEL_SIZE": engine.tensor_parallel_size if engine.tensor_parallel_size > 1 else None,
        "MEMORY_FRACTION": engine.memory_fraction,
        "KV_CACHE_MEMORY_BYTES": engine.kv_cache_memory_bytes,
        "MAX_MODEL_TOKENS": engine.max_model_tokens,
        "PARTS_FORMAT": engine.parts_format or None,
        "PREFIX_CACHING": None if engine.prefix_caching else False,
    }
    settings |= {f"PINETUNE_GENERATION_{name}": str(value) for name, value in optional.items() if value is not None}
    if order.makes_model:
        settings["PINETUNE_GENERATION_WAIT_FOR_MODEL_SECONDS"] = str(WAIT_FOR_MODEL_SECONDS)
    return settings | _threads("GENERATION", order)


def worker_settings(order: WorkOrder, addresses: Addresses) -> dict[str, str]:
    """Return the variables of the worker."""
    return {
        "PINETUNE_WORKER_WORK_ID": order.work_id,
        "PINETUNE_WORKER_ATTEMPT": str(order.attempt),
        "PINETUNE_WORKER_JOBS_ADDRESS": addresses.jobs,
        "PINETUNE_WORKER_GRADING_ADDRESS": addresses.grading,
        "PINETUNE_WORKER_LEARNING_ADDRESS": ",".join(addresses.learning),
        "PINETUNE_WORKER_GENERATION_ADDRESSES": ",".join(addresses.generation),
    }


def _threads(room: str, order: WorkOrder) -> dict[str, str]:
    threads = order.engine.threads
    return {f"PINETUNE_{room}_THREADS": str(threads)} if threads else {}
