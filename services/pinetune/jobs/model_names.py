"""Names under which trained models can be used, in the openai API's shape: `ft:<model>:<suffix>:<job id>`."""

from pinetune.api.jobs.v1.spec_pb2 import JobSpec

PREFIX = "ft:"


def model_name(spec: JobSpec, job_id: str) -> str:
    """Return the name of a job's final model."""
    return f"{PREFIX}{_base_name(spec.model)}:{spec.suffix}:{job_id}"


def _base_name(model: str) -> str:
    """Return what a model is called inside a name: no colons, and of a folder only its own name."""
    name = model.removeprefix("job:")
    if name.startswith(PREFIX):
        name = name.split(":")[1]
    is_folder = name.startswith(("/", ".", "~")) or "://" in name
    name = name.rstrip("/").rsplit("/", 1)[-1] if is_folder else name
    return name.replace(":", "-")
