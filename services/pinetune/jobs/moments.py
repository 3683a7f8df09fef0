"""Times as the database keeps them: whole microseconds since 1970, UTC."""

import time

from google.protobuf.timestamp_pb2 import Timestamp


def now() -> int:
    """Return the present time."""
    return time.time_ns() // 1000


def timestamp(moment: int) -> Timestamp:
    """Spell a time as a message."""
    message = Timestamp()
    message.FromMicroseconds(moment)
    return message
