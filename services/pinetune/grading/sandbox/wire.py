"""What passes between the service and a process with a Python grader: frames over two pipes.

A frame is four bytes of length (little-endian) and so many bytes.

    in   the source; then GRADE + question (JSON), or CHECK to look whether the source can be run
    out  first READY + FRESH or PROCESSES, BAD_SOURCE + why, or UNLOCKED + why; then an answer to each question:
         SCORE + a double, FINE to CHECK, FAULT + what went wrong in the source, or NO_MEMORY + the same where the
         source is not known to be at fault: the memory was at its limit, or somebody killed its process

The process loads this file by its path, without the package: only the standard library.
"""

import math
import os
import struct

READY, BAD_SOURCE, UNLOCKED = b"R", b"B", b"U"
SCORE, FINE, FAULT, NO_MEMORY = b"S", b"K", b"F", b"M"
GRADE, CHECK = b"G", b"C"
FRESH, PROCESSES = b"fresh", b"processes"
LENGTH = struct.Struct("<I")
DOUBLE = struct.Struct("<d")
FAULT_BYTES_MAX = 4096
"""Longest description of a fault."""
ANSWER_BYTES_MAX = FAULT_BYTES_MAX + 1
CHUNK_BYTES = 1 << 16


class Channel:
    """Frames from and to the service, as the process sees them."""

    def __init__(self, requests: int, replies: int) -> None:
        self.requests, self.replies = requests, replies

    def receive(self) -> bytes:
        """Return the next frame; ends the process where there is none."""
        data = os.read(self.requests, CHUNK_BYTES)
        while len(data) < LENGTH.size:
            more = os.read(self.requests, CHUNK_BYTES)
            if not more:
                os._exit(0)
            data += more
        end = LENGTH.size + LENGTH.unpack_from(data)[0]
        if len(data) == end:
            return data[LENGTH.size :]
        frame = bytearray(data)
        while len(frame) < end:
            more = os.read(self.requests, end - len(frame))
            if not more:
                os._exit(0)
            frame += more
        return bytes(frame[LENGTH.size :])

    def send(self, payload: bytes) -> None:
        """Send a frame."""
        write_all(self.replies, LENGTH.pack(len(payload)) + payload)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it to a pipe."""
    while data:
        data = data[os.write(descriptor, data) :]


def read_answer(out: int) -> bytes:
    """Return what a child writes to its pipe, up to the first byte that is too many."""
    answer = b""
    while len(answer) <= ANSWER_BYTES_MAX and (more := os.read(out, ANSWER_BYTES_MAX + 1 - len(answer))):
        answer += more
    return answer


def is_answer(answer: bytes) -> bool:
    """Say whether these bytes are an answer; a child may have written anything."""
    kind, rest = answer[:1], answer[1:]
    if kind == SCORE:
        return len(rest) == DOUBLE.size and math.isfinite(DOUBLE.unpack(rest)[0])
    return (kind == FINE and not rest) or (kind in (FAULT, NO_MEMORY) and len(rest) <= FAULT_BYTES_MAX)
