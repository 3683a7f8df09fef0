"""The settings of the gateway: `PINETUNE_GATEWAY_…`."""

from pathlib import Path

from pydantic import Field

from pinetune.client.jobs import PATIENCE_SECONDS
from pinetune.pod.config import RoomSettings


class GatewaySettings(RoomSettings, env_prefix="PINETUNE_GATEWAY_"):
    """Where the pages are served and where the jobs service is; the interface is the pod's `PINETUNE_POD_HOST`."""

    http_port: int = Field(default=8080, ge=0, le=65535)
    """Port of the pages; 0 takes any free one."""
    http_address_file: Path | None = None
    """Where to write `{"http": "host:port"}` once the pages are served."""
    jobs_address: str = "127.0.0.1:50051"
    """host:port of the jobs service."""
    jobs_patience_seconds: float = Field(default=PATIENCE_SECONDS, ge=0)
    """How long a page waits for a jobs service that is away, for an update say."""
