"""Tensors read one by one from the safetensors files of a policy folder, wherever fsspec finds it.

Only the asked-for bytes are read, so a policy of which few tensors changed costs little, on object storage too. The
format: eight bytes with the length of a JSON header, the header with dtype, shape and byte range of each tensor, then
the bytes.
"""

import json
from dataclasses import dataclass

import fsspec
import torch
from torch import Tensor

from pinetune.pod.errors import Corrupt

TORCH_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
HEADER_LENGTH_BYTES = 8
HEADER_BYTES_MAX = 100_000_000  # safetensors' own limit.


def dtype_name(dtype: torch.dtype) -> str:
    """Return a dtype as manifests spell it: float32, bfloat16 …"""
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies in a file."""

    dtype: torch.dtype
    """Its dtype."""
    shape: tuple[int, ...]
    """Its shape."""
    start: int
    """Where its bytes begin in the file."""
    stop: int
    """Where they end."""


class WeightFile:
    """One safetensors file, its header read."""

    def __init__(self, folder_uri: str, name: str) -> None:
        self._filesystem, folder = fsspec.core.url_to_fs(folder_uri)
        self._path = f"{folder.rstrip('/')}/{name}"
        self._name = name
        try:
            self._tensors = self._header()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Corrupt(
                f"{name} in {folder_uri} cannot be read as safetensors: {error}",
                reason="WEIGHT_FILE_UNREADABLE",
                file=name,
            ) from error

    def __contains__(self, tensor: str) -> bool:
        return tensor in self._tensors

    def __getitem__(self, tensor: str) -> StoredTensor:
        return self._tensors[tensor]

    def read(self, tensor: str) -> Tensor:
        """Read one tensor to the CPU."""
        place = self._tensors[tensor]
        # A bytearray, since torch shares the memory and wants to be allowed to write.
        data = (
            bytearray(self._filesystem.cat_file(self._path, place.start, place.stop))
            if place.stop > place.start
            else b""
        )
        if len(data) != place.stop - place.start:
            raise Corrupt(
                f"{self._name} ends inside tensor {tensor!r}", reason="WEIGHT_FILE_UNREADABLE", file=self._name
            )
        if not data:
            return torch.empty(place.shape, dtype=place.dtype)
        return torch.frombuffer(data, dtype=place.dtype).reshape(place.shape)

    def _header(self) -> dict[str, StoredTensor]:
        length = int.from_bytes(self._filesystem.cat_file(self._path, 0, HEADER_LENGTH_BYTES), "little")
        if not 0 < length <= HEADER_BYTES_MAX:
            raise ValueError(f"its header is said to be {length} bytes long")
        begin = HEADER_LENGTH_BYTES + length
        header = json.loads(self._filesystem.cat_file(self._path, HEADER_LENGTH_BYTES, begin))
        header.pop("__metadata__", None)
        return {
            name: StoredTensor(
                TORCH_DTYPES[entry["dtype"]],
                tuple(entry["shape"]),
                *(begin + offset for offset in entry["data_offsets"]),
            )
            for name, entry in header.items()
        }
