"""The settings that every pod has: `PINETUNE_POD_…`, and the token that all pods of a deployment share."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from pinetune.pod.config import TOKEN, RoomSettings
from pinetune.pod.errors import InvalidInput
from pinetune.pod.logging import LogFormat, LogLevel
from pinetune.pod.tls import ServerTls


class PodSettings(RoomSettings, env_prefix="PINETUNE_POD_"):
    """How a pod listens, logs and stops."""

    host: str = "127.0.0.1"
    """Interface that both ports listen on; `0.0.0.0` or `::` for all, as in a container."""
    grpc_port: int = Field(default=0, ge=0, le=65535)
    """Port of the services; 0 takes any free one, which is logged and written to `address_file`."""
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port of /metrics and /health; 0 takes any free one."""
    threads: int = Field(default=16, ge=1)
    """Calls handled at once; further ones wait for a thread until their deadline. Probes have their own."""
    message_bytes_max: int = Field(default=256 * 1024 * 1024, ge=1024, le=2**31 - 1)
    """Largest message taken or sent."""
    connection_age_seconds: float = Field(default=0.0, ge=0)
    """Age at which a caller's connection is ended, calls in flight excepted; 0 for never.

    Callers look the name up again then, and so find replicas that were added since.
    """
    grace_seconds: float = Field(default=25.0, ge=0)
    """How long calls in flight may take to end after a request to stop; below Kubernetes' own 30 s."""
    token: SecretStr | None = Field(default=None, validation_alias=TOKEN, min_length=1)
    """What callers must show; None lets everybody in. The variable is PINETUNE_TOKEN."""
    token_file: Path | None = None
    """File that holds the token, for secrets that are mounted; instead of PINETUNE_TOKEN."""
    tls_certificate_file: Path | None = None
    """PEM file with the pod's certificate; with `tls_key_file` the pod speaks TLS."""
    tls_key_file: Path | None = None
    """PEM file with the certificate's private key."""
    tls_client_ca_file: Path | None = None
    """PEM file with the CA that must have signed the callers' certificates: mutual TLS."""
    log_level: LogLevel = "INFO"
    """Lines below this level are not written."""
    log_format: LogFormat = "json"
    """`json` for machines, `text` for people."""
    traces_endpoint: str | None = Field(default=None, pattern=r"^https?://[^/\s@]+$")
    """`http://host:port` of an OpenTelemetry collector (OTLP over gRPC) that is told of the work; `https://` with TLS.

    None makes no traces. Needs `pinetune[traces]`.
    """
    address_file: Path | None = None
    """Where to write `{"grpc": "host:port", "metrics": "host:port", "pid": 1}` once the pod serves."""
    stop_on_stdin_eof: bool = False
    """Stop when stdin ends: children of a launcher die with it, however it died."""

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_certificate_file and tls_key_file come together")
        if self.tls_client_ca_file is not None and self.tls_key_file is None:
            raise ValueError("tls_client_ca_file needs tls_certificate_file and tls_key_file")
        if self.token is not None and self.token_file is not None:
            raise ValueError("PINETUNE_TOKEN and token_file are two places for one token; give one")
        return self

    def tls(self) -> ServerTls | None:
        """Return what the pod needs to speak TLS, None where it does not."""
        if self.tls_certificate_file is None or self.tls_key_file is None:
            return None
        return ServerTls(self.tls_certificate_file, self.tls_key_file, self.tls_client_ca_file)

    def token_text(self) -> str | None:
        """Return the shared token, from its file where one is named; None where callers need none.

        Raises InvalidInput where the file cannot be read or is empty: a pod that asks for no token must be meant to.
        """
        if self.token_file is None:
            return None if self.token is None else self.token.get_secret_value()
        try:
            token = self.token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            token, why = "", str(error.strerror)
        else:
            why = "it is empty"
        if not token:
            raise InvalidInput(
                f"PINETUNE_POD_TOKEN_FILE: no token in {self.token_file}: {why}", reason="TOKEN_FILE_UNREADABLE"
            )
        return token
