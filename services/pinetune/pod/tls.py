"""Credentials from files: what a pod shows its callers, and what it asks of them.

With a certificate and key a pod speaks TLS; with a CA for clients as well it speaks mutual TLS and refuses callers
whose certificate that CA did not sign. Files are read once, at the start: who renews a certificate restarts the pod.
"""

from dataclasses import dataclass
from pathlib import Path

import grpc

from pinetune.pod.errors import InvalidInput


@dataclass(frozen=True)
class ServerTls:
    """What a pod needs to serve TLS."""

    certificate_file: Path
    """PEM: the pod's certificate, the chain below it."""
    key_file: Path
    """PEM: the certificate's private key."""
    client_ca_file: Path | None = None
    """PEM: who must have signed the callers' certificates; None asks callers for none."""

    def credentials(self) -> grpc.ServerCredentials:
        """Read the files; InvalidInput names one that cannot be read."""
        pair = _content("key", self.key_file), _content("certificate", self.certificate_file)
        if self.client_ca_file is None:
            return grpc.ssl_server_credentials([pair])
        ca = _content("client CA", self.client_ca_file)
        return grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=True)


@dataclass(frozen=True)
class ClientTls:
    """What a caller needs to speak TLS with a pod."""

    ca_file: Path | None = None
    """PEM: who must have signed the pod's certificate; None takes the CAs that gRPC brings along."""
    certificate_file: Path | None = None
    """PEM: the caller's own certificate, for pods that ask for one; needs `key_file`."""
    key_file: Path | None = None
    """PEM: the private key of `certificate_file`."""

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files; InvalidInput names one that cannot be read or is missing its other half."""
        if (self.certificate_file is None) != (self.key_file is None):
            raise InvalidInput("TLS: certificate file and key file come together", reason="TLS_INCOMPLETE")
        return grpc.ssl_channel_credentials(
            root_certificates=_content("CA", self.ca_file) if self.ca_file else None,
            private_key=_content("key", self.key_file) if self.key_file else None,
            certificate_chain=_content("certificate", self.certificate_file) if self.certificate_file else None,
        )


def _content(what: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"TLS: the {what} file {path} cannot be read: {error.strerror}",
            reason="TLS_FILE_UNREADABLE",
            file=str(path),
        ) from error
