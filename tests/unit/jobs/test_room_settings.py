"""What the processes of an attempt are told."""

import dataclasses

from pinetune.generation.config import GenerationSettings
from pinetune.jobs.launcher.base import Engine, WorkOrder
from pinetune.jobs.launcher.room_settings import generation_settings

ORDER = WorkOrder(
    work_id="job-1",
    attempt=1,
    learns=True,
    model_uri="/models/base",
    makes_model=False,
    engine=Engine("vllm", "auto", "bfloat16", replicas=1, threads=None),
)


def settings_of(**engine: object) -> dict[str, object]:
    changed = dataclasses.replace(ORDER.engine, **engine)  # type: ignore[arg-type]  # a test's own
    told = generation_settings(dataclasses.replace(ORDER, engine=changed))
    prefix = "PINETUNE_GENERATION_"
    assert all(name.startswith(prefix) for name in told)
    # The room takes them as they are told.
    values = {name.removeprefix(prefix).lower(): value for name, value in told.items()}
    return GenerationSettings.model_validate(values).model_dump(include=set(values))


def test_a_sampler_is_told_of_its_engine() -> None:
    assert settings_of(
        tensor_parallel_size=2,
        memory_fraction=0.4,
        kv_cache_memory_bytes=1 << 30,
        max_model_tokens=4096,
        parts_format="think",
        prefix_caching=False,
    ) == {
        "model": "/models/base",
        "engine": "vllm",
        "device": "auto",
        "dtype": "bfloat16",
        "tensor_parallel_size": 2,
        "memory_fraction": 0.4,
        "kv_cache_memory_bytes": 1 << 30,
        "max_model_tokens": 4096,
        "parts_format": "think",
        "prefix_caching": False,
    }


def test_what_an_order_leaves_open_is_the_samplers_to_choose() -> None:
    assert settings_of() == {"model": "/models/base", "engine": "vllm", "device": "auto", "dtype": "bfloat16"}
