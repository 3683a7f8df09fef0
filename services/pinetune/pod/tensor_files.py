"""safetensors files without torch: where each tensor lies, its bytes from wherever fsspec reads, a new file's header.

Learning writes policies and sends them, generation reads them and spools what is sent; both need the format and neither
knows the other. The format: eight bytes with the length of a JSON header, the header with dtype, shape and byte range
of each tensor, then the bytes. Only the asked-for bytes are read, so a policy of which few tensors changed costs
little, on object storage too.
"""

import errno
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pinetune.pod import storage
from pinetune.pod.errors import Corrupt
from pinetune.pod.manifest import TensorEntry

DTYPES = {
    "float64": ("F64", 8),
    "float32": ("F32", 4),
    "float16": ("F16", 2),
    "bfloat16": ("BF16", 2),
    "float8_e4m3fn": ("F8_E4M3", 1),
    "float8_e5m2": ("F8_E5M2", 1),
    "int64": ("I64", 8),
    "int32": ("I32", 4),
    "int16": ("I16", 2),
    "int8": ("I8", 1),
    "uint8": ("U8", 1),
    "bool": ("BOOL", 1),
}
"""dtypes as manifests spell them, with safetensors' word and the bytes of one element."""
DTYPE_OF_CODE = {code: dtype for dtype, (code, _) in DTYPES.items()}
HEADER_LENGTH_BYTES = 8
HEADER_BYTES_MAX = 100_000_000  # safetensors' own limit.
ALIGNMENT_BYTES = 8
READ_BYTES_MAX = 1 << 30  # Linux reads at most 2 GiB at once.


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies in a file."""

    dtype: str
    """Its dtype, as manifests spell it."""
    shape: tuple[int, ...]
    """Its shape."""
    start: int
    """Where its bytes begin in the file."""
    stop: int
    """Where they end."""


class TensorFile:
    """One safetensors file, its header read. Raises Corrupt WEIGHT_FILE_UNREADABLE where that is none."""

    def __init__(self, folder_uri: str, name: str) -> None:
        self._filesystem, folder = storage.open_address(folder_uri)
        self._path = f"{folder}/{name}"
        self._name = name
        self._local = storage.is_local(self._filesystem)
        try:
            self._tensors = self._header()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Corrupt(
                f"{name} in {folder_uri} cannot be read as safetensors: {error}",
                reason="WEIGHT_FILE_UNREADABLE",
                file=name,
            ) from error

    def __contains__(self, tensor: str) -> bool:
        return tensor in self._tensors

    def __getitem__(self, tensor: str) -> StoredTensor:
        return self._tensors[tensor]

    def read_into(self, tensor: str, target: memoryview) -> None:
        """Fill `target`, the bytes of the tensor's whole memory, from the file."""
        place = self._tensors[tensor]
        done = self._read_local(place, target) if self._local else self._read_remote(place, target)
        if done != place.stop - place.start:
            raise Corrupt(
                f"{self._name} ends inside tensor {tensor!r}", reason="WEIGHT_FILE_UNREADABLE", file=self._name
            )

    def chunks(self, tensor: str, size: int) -> Iterator[bytes]:
        """Yield the tensor's bytes in pieces of at most `size`."""
        place = self._tensors[tensor]
        for start in range(place.start, place.stop, size):
            stop = min(start + size, place.stop)
            data = self._range(start, stop)
            if len(data) != stop - start:
                raise Corrupt(
                    f"{self._name} ends inside tensor {tensor!r}", reason="WEIGHT_FILE_UNREADABLE", file=self._name
                )
            yield data

    def _read_local(self, place: StoredTensor, target: memoryview) -> int:
        # Straight into place: no copy between, and no mapped file that another process could cut short under us.
        done = 0
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            while done < len(target):
                count = os.preadv(descriptor, [target[done : done + READ_BYTES_MAX]], place.start + done)
                if count == 0:
                    break
                done += count
        finally:
            os.close(descriptor)
        return done

    def _read_remote(self, place: StoredTensor, target: memoryview) -> int:
        data = self._range(place.start, place.stop) if place.stop > place.start else b""
        target[: len(data)] = data
        return len(data)

    def _range(self, start: int, stop: int) -> bytes:
        # By name: in s3fs the second argument is the version of the object.
        try:
            data: bytes = self._filesystem.cat_file(self._path, start=start, end=stop)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return b""  # What S3 says where the file ends before `start`; other files are just found short.
        return data

    def _header(self) -> dict[str, StoredTensor]:
        length = int.from_bytes(self._range(0, HEADER_LENGTH_BYTES), "little")
        if not 0 < length <= HEADER_BYTES_MAX:
            raise ValueError(f"its header is said to be {length} bytes long")
        begin = HEADER_LENGTH_BYTES + length
        header = json.loads(self._range(HEADER_LENGTH_BYTES, begin))
        header.pop("__metadata__", None)
        found: dict[str, StoredTensor] = {}
        for name, entry in header.items():
            dtype, shape = DTYPE_OF_CODE[entry["dtype"]], tuple(int(size) for size in entry["shape"])
            start, stop = entry["data_offsets"]
            if start < 0 or stop - start != size_bytes(dtype, shape):
                raise ValueError(f"tensor {name!r} is said to lie at {start} to {stop}, which is not its size")
            found[name] = StoredTensor(dtype, shape, begin + start, begin + stop)
        return found


def size_bytes(dtype: str, shape: Iterable[int]) -> int:
    """Return how many bytes a tensor has. Raises KeyError for a dtype that is not in `DTYPES`."""
    return math.prod(shape) * DTYPES[dtype][1]


def layout(entries: Iterable[TensorEntry], metadata: Mapping[str, str]) -> tuple[bytes, dict[str, int], int]:
    """Return the first bytes of a file for these tensors, where in it each one begins, and the file's size."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    starts: dict[str, int] = {}
    end = 0
    # Wide elements first, so that all of them are aligned.
    for entry in sorted(entries, key=lambda entry: (-DTYPES[entry.dtype][1], entry.name)):
        starts[entry.name] = end
        end += size_bytes(entry.dtype, entry.shape)
        header[entry.name] = {
            "dtype": DTYPES[entry.dtype][0],
            "shape": list(entry.shape),
            "data_offsets": [starts[entry.name], end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT_BYTES)
    first = len(text).to_bytes(HEADER_LENGTH_BYTES, "little") + text
    return first, {name: len(first) + start for name, start in starts.items()}, len(first) + end
