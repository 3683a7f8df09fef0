"""What a launcher has to know of work: which model, how many replicas, where to compute."""

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1 import spec_pb2
from pinetune.jobs.launcher.base import Engine, WorkOrder
from pinetune.jobs.store.works import JOB, Work


def artifacts_of(artifacts_uri: str, work: Work) -> str:
    """Return the folder for all that the work writes."""
    folder = "jobs" if work.kind == JOB else "evaluations"
    return f"{artifacts_uri}/{folder}/{work.work_id}"


def model_of(artifacts_uri: str, work: Work) -> str:
    """Return where the model is that the work starts from; `nano` is made beside the job's other files."""
    return work.base_model_uri or f"{artifacts_of(artifacts_uri, work)}/base"


def work_order(artifacts_uri: str, work: Work, *, attempt: int) -> WorkOrder:
    """Return what to launch."""
    if work.kind == JOB:
        engine = spec_pb2.JobSpec.FromString(work.order_message).pinetune.engine
    else:
        engine = wire.EvaluationOrder.FromString(work.order_message).engine
    return WorkOrder(
        work_id=work.work_id,
        attempt=attempt,
        learns=work.kind == JOB,
        model_uri=model_of(artifacts_uri, work),
        makes_model=not work.base_model_uri,
        engine=Engine(
            name=engine.name,
            device=engine.device,
            dtype=engine.dtype,
            replicas=engine.replicas,
            max_replicas=engine.max_replicas,
            threads=engine.threads if engine.HasField("threads") else None,
            tensor_parallel_size=engine.tensor_parallel_size if engine.HasField("tensor_parallel_size") else 1,
            memory_fraction=engine.memory_fraction if engine.HasField("memory_fraction") else None,
            kv_cache_memory_bytes=engine.kv_cache_memory_bytes if engine.HasField("kv_cache_memory_bytes") else None,
            max_model_tokens=engine.max_model_tokens if engine.HasField("max_model_tokens") else None,
            # Orders of older versions have none.
            parts_format=engine.parts_format,
            prefix_caching=engine.prefix_caching if engine.HasField("prefix_caching") else True,
        ),
    )
