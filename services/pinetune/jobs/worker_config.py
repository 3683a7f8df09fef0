"""What a launcher tells a worker: which work, and where its services are."""

from pydantic import Field

from pinetune.pod.config import RoomSettings


class WorkerSettings(RoomSettings, env_prefix="PINETUNE_WORKER_"):
    """One worker's settings; a launcher sets them, nobody else, but for those with a default."""

    work_id: str = Field(min_length=1)
    """Id of the job or of the evaluation."""
    attempt: int = Field(ge=1)
    """Which start of the work this is."""
    jobs_address: str = Field(min_length=1)
    """host:port of the jobs service."""
    grading_address: str = Field(min_length=1)
    """host:port of the grading service."""
    generation_addresses: str = Field(min_length=1)
    """host:port of each generation replica, separated by commas."""
    learning_address: str = ""
    """host:port of the learning service; empty for an evaluation."""
    traced_rollouts: int = Field(default=4, ge=0, le=1000)
    """Rollouts of each training step that have a trace of their own, where the pod has a collector of traces."""
