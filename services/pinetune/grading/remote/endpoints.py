"""Which addresses `remote` graders may call. A grader comes from a user, the network it would reach is the operator's.

Addresses are compared by their parts and not as texts, or `https://graders.example.com` would allow
`https://graders.example.com.elsewhere.org`. What has no plain spelling is no address: names and passwords, fragments,
`..`, percent signs, semicolons and backslashes are read differently by different programs.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pinetune.grading.refusals import refusal
from pinetune.grading.remote.settings import RemoteToken
from pinetune.pod.errors import InvalidInput

PATTERN = re.compile(
    r"(?P<scheme>grpc|grpcs|http|https)://(?P<host>[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(:(?P<port>\d{1,5}))?(?P<path>(/[A-Za-z0-9._~!$&'()*+,=:@-]*)*)(\?(?P<query>[A-Za-z0-9._~!$&'()*+,;=:@/-]*))?"
)
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Endpoint:
    """An address in its parts."""

    scheme: str
    """grpc, grpcs, http or https."""
    host: str
    """Name or IP address, in lower case."""
    port: int
    """Port; that of the scheme where none is written."""
    path: str
    """Path without a slash at its end; empty for gRPC."""
    text: str
    """The address as it was written."""

    @property
    def is_grpc(self) -> bool:
        """True for a GradingService, False for a URL."""
        return self.scheme.startswith("grpc")

    @property
    def server(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def shown(self) -> str:
        """The address for a person, without its query, which may hold a secret."""
        return self.text.partition("?")[0]

    @property
    def keeps_secrets(self) -> bool:
        """True where nobody between reads what is sent: it is encrypted, or stays on this machine."""
        return self.scheme in ("grpcs", "https") or _is_loopback(self.host)

    def allows(self, other: "Endpoint") -> bool:
        """Say whether `other` lies at or below this address."""
        return self.server == other.server and f"{other.path}/".startswith(f"{self.path}/")


def parse(text: str) -> Endpoint:
    """Read an address; raises ValueError with a sentence."""
    match = PATTERN.fullmatch(text)
    if match is None or {".", ".."} & set(match["path"].split("/")):
        raise ValueError("must be grpc://host:port, grpcs://host:port, http://… or https://… in plain letters")
    scheme, path = match["scheme"], match["path"].rstrip("/")
    is_grpc = scheme.startswith("grpc")
    if is_grpc and (match["port"] is None or path or match["query"] is not None):
        raise ValueError(f"must be {scheme}://host:port, with a port and nothing behind it")
    port = PORTS[scheme] if match["port"] is None else int(match["port"])
    if not 0 < port < 65536:
        raise ValueError(f"its port must be 1 to 65535, not {port}")
    return Endpoint(scheme, match["host"].lower(), port, path, text)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class AllowedEndpoints:
    """What the setting `remote_endpoints` allows, and what `remote_tokens` has for it."""

    def __init__(self, prefixes: Sequence[str], tokens: Mapping[str, RemoteToken] = MappingProxyType({})) -> None:
        """Read addresses and tokens; raises InvalidInput for what is wrong with the settings."""
        self._prefixes = []
        for index, prefix in enumerate(prefixes):
            try:
                self._prefixes.append(parse(prefix))
            except ValueError as error:
                # Not the value: it may hold a password.
                raise InvalidInput(
                    f"PINETUNE_GRADING_REMOTE_ENDPOINTS[{index}]: {error}", reason="INVALID_SETTINGS"
                ) from error
        self._tokens = {name: self._token(name, place) for name, place in tokens.items()}

    def _token(self, name: str, place: RemoteToken) -> str | None:
        prefix = next((prefix for prefix in self._prefixes if prefix.text == name), None)
        if prefix is None:
            have = ", ".join(prefix.text for prefix in self._prefixes) or "none"
            why = f"is no entry of PINETUNE_GRADING_REMOTE_ENDPOINTS (these are: {have})"
        elif not prefix.keeps_secrets:
            why = (
                f"would send the token unencrypted over {prefix.scheme}; it must be grpcs or https, or on this machine"
            )
        else:
            return place.read(name)
        raise InvalidInput(f"PINETUNE_GRADING_REMOTE_TOKENS[{name!r}]: {why}", reason="INVALID_SETTINGS")

    def endpoint(self, text: str) -> Endpoint:
        """Return the address of a grader; raises InvalidInput where it is none or is not allowed."""
        try:
            endpoint = parse(text)
        except ValueError as error:
            raise refusal("endpoint", f"{error}; given {text!r}", reason="ENDPOINT_INVALID") from error
        if not any(prefix.allows(endpoint) for prefix in self._prefixes):
            have = ", ".join(prefix.text for prefix in self._prefixes) or "none"
            detail = (
                f"this service may not call {text}; an operator allows it by its beginning in "
                f"PINETUNE_GRADING_REMOTE_ENDPOINTS (allowed are: {have})"
            )
            raise refusal("endpoint", detail, reason="ENDPOINT_NOT_ALLOWED")
        return endpoint

    def token(self, endpoint: Endpoint) -> str | None:
        """Return what a grader is shown: the token of the longest entry with one that allows it, None for nothing."""
        entries = [prefix for prefix in self._prefixes if prefix.text in self._tokens and prefix.allows(endpoint)]
        return self._tokens[max(entries, key=lambda entry: len(entry.path)).text] if entries else None
