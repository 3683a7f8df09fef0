"""Settings of the jobs room: `PINETUNE_JOBS_…`."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pinetune.pod.config import RoomSettings


class JobsSettings(RoomSettings, env_prefix="PINETUNE_JOBS_"):
    """Where state is kept, who grades, and how much runs at once."""

    data_dir: Path = Path("~/.pinetune")
    """Folder for the database, the artifacts and the logs, unless said otherwise below."""
    database_url: str = ""
    """SQLAlchemy URL; empty for SQLite in `data_dir`."""
    artifacts_uri: str = ""
    """Folder for data sets, policies, checkpoints and rollouts, at any address that fsspec knows and all pods see.

    Empty for `data_dir`. A bucket, `s3://…`, needs the extra `s3`. Engines fetch base models to their own machine and
    read policies where they are. To be changed only while no work is unfinished.
    """
    grading_address: str = ""
    """`host:port` of the grading service that checks graders and that workers use."""
    jobs_address: str = ""
    """`host:port` under which workers reach this service; empty for its own."""
    launcher: Literal["local", "kubernetes"] = "local"
    """Where jobs run: as processes beside this one, or as pods of a Kubernetes namespace."""
    namespace: str = ""
    """Namespace of the pods; empty for the one this pod is in."""
    pod_templates: Path | None = None
    """YAML file with the pod templates of learning, generation and worker; `launcher` kubernetes needs it."""
    queue_name: str = ""
    """Kueue's local queue that jobs wait in; empty where the cluster has no Kueue."""
    max_running: int = Field(default=1, ge=1, le=1000)
    """Jobs and evaluations that run at once."""
    max_watchers: int = Field(default=64, ge=1, le=10_000)
    """Streams of WatchJob open at once; each holds a thread."""
    cancel_grace_seconds: float = Field(default=30.0, ge=0)
    """How long a worker may take to end by itself after a job was cancelled."""
    heartbeat_timeout_seconds: float = Field(default=180.0, gt=0)
    """A worker that was not heard of for this long is taken for dead and started again."""
    replica_restarts_max: int = Field(default=3, ge=0)
    """How often a generation replica that dies is started again alone within `replica_restart_seconds`; then its job's
    processes end together, and the job goes on from its last checkpoint."""
    replica_restart_seconds: float = Field(default=600.0, gt=0)
    """The time that `replica_restarts_max` is counted over."""
    stop_grace_seconds: float = Field(default=10.0, ge=0)
    """How long processes may take to end after they were told to, before they are killed."""

    def folder(self) -> Path:
        """Return `data_dir` as an absolute path."""
        return self.data_dir.expanduser().absolute()

    def database(self) -> str:
        """Return the database's URL."""
        return self.database_url or f"sqlite:///{self.folder() / 'jobs.sqlite'}"

    def artifacts(self) -> str:
        """Return the artifacts' folder, without a slash at its end."""
        return (self.artifacts_uri or str(self.folder() / "artifacts")).rstrip("/")
