"""Tensors of torch from the safetensors files of a policy folder, one by one; `pod/tensor_files.py` has the format."""

import hashlib

import torch
from torch import Tensor

from pinetune.pod.tensor_files import TensorFile


def dtype_name(dtype: torch.dtype) -> str:
    """Return a dtype as manifests spell it: float32, bfloat16 …"""
    return str(dtype).removeprefix("torch.")


def tensor_sha256(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's bytes in row-major order, in hexadecimal."""
    return hashlib.sha256(bytes_of(tensor.detach().cpu().contiguous())).hexdigest()


def bytes_of(tensor: Tensor) -> memoryview:
    """Return the memory of a contiguous tensor on the CPU, to be read or written."""
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().data


class WeightFile(TensorFile):
    """One safetensors file whose tensors become torch's."""

    def read(self, name: str) -> Tensor:
        """Read one tensor to the CPU."""
        tensor = torch.empty(self[name].shape, dtype=getattr(torch, self[name].dtype))
        self.read_into(name, bytes_of(tensor))
        return tensor

    def fill(self, name: str, held: Tensor) -> None:
        """Read one tensor into the memory of `held`, of its shape and dtype, wherever that is."""
        if held.device.type == "cpu" and held.is_contiguous():
            self.read_into(name, bytes_of(held))
        else:
            held.detach().copy_(self.read(name))
