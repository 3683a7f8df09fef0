"""The shared token: how a caller shows it and how a pod checks it.

One secret for all pods of a deployment, sent as `authorization: Bearer …`. It says "one of us", not who: who needs to
tell callers apart uses mutual TLS.
"""

import hmac
from collections.abc import Iterable

from pinetune.pod.errors import Denied

AUTHORIZATION_KEY = "authorization"

Metadata = Iterable[tuple[str, str | bytes]]


def shown(token: str) -> tuple[str, str]:
    """Return the metadata entry that shows `token`."""
    return AUTHORIZATION_KEY, f"Bearer {token}"


def check(token: str, metadata: Metadata) -> None:
    """Raise Denied, TOKEN_MISSING or TOKEN_WRONG, where the call's metadata does not show `token`."""
    value = dict(metadata).get(AUTHORIZATION_KEY)
    if value is None:
        raise Denied("this pod asks for a token: set PINETUNE_TOKEN on the calling side", reason="TOKEN_MISSING")
    expected = shown(token)[1].encode()
    # Compared in constant time, so that the time of a refusal tells nothing about how much of a guess was right.
    if not hmac.compare_digest(value.encode() if isinstance(value, str) else value, expected):
        raise Denied("the token shown is not this pod's PINETUNE_TOKEN", reason="TOKEN_WRONG")
