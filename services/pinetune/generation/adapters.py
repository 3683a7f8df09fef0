"""LoRA adapters as PEFT writes them: what they add to which weight of the base model (Hu et al. 2021, 2106.09685).

    adapter_model.safetensors   base_model.model.<module>.lora_A.weight [r, in], ….lora_B.weight [out, r]
    adapter_config.json         r, lora_alpha, use_rslora, fan_in_fan_out …; its text stands in the manifest, too
    manifest.json               kind lora, the content hash of the base

The weight of `<module>` becomes W + s·B·A with s = alpha / r, or alpha / √r where `use_rslora` says so (Kalajdzievski
2023, 2312.03732). What PEFT can do beyond that is refused: an adapter that is applied in part is another model.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pinetune.generation.weight_files import WeightFile, dtype_name, tensor_sha256
from pinetune.pod.errors import Conflict, Corrupt, InvalidInput, Unsupported
from pinetune.pod.manifest import ADAPTER_CONFIG_FILE, Manifest, TensorEntry, content_hash, read_text

PREFIX = "base_model.model."
PARTS = (".lora_A.weight", ".lora_B.weight")
PLAIN: Mapping[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "modules_to_save": (None, []),
    "use_dora": (False, None),
    "alpha_pattern": ({}, None),
    "rank_pattern": ({}, None),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
}
"""Settings of PEFT that change what an adapter adds, with the values that this file knows; absent ones are fine."""


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory, every tensor of it hashed."""

    tensors: Mapping[str, Tensor]
    """PEFT's names, with the tensors as they were stored."""
    config: Mapping[str, Any]
    """What `adapter_config.json` says."""
    content_hash: str
    """Computed from these tensors, this configuration and the base's hash."""

    @property
    def weights(self) -> dict[str, tuple[Tensor, Tensor]]:
        """The name of each weight of the base that it adds to, with A and B."""
        modules = {name.removeprefix(PREFIX).removesuffix(PARTS[0]) for name in self.tensors if name.endswith(PARTS[0])}
        return {
            f"{module}.weight": (
                self.tensors[f"{PREFIX}{module}{PARTS[0]}"],
                self.tensors[f"{PREFIX}{module}{PARTS[1]}"],
            )
            for module in sorted(modules)
        }

    def merged(self, base: Tensor, weight: str) -> Tensor:
        """Return the base's tensor with what the adapter adds to it, in the base's dtype; computed in float32."""
        low, high = (part.to(base.device, torch.float32) for part in self.weights[weight])
        rank = low.shape[0]
        scale = self.config["lora_alpha"] / (math.sqrt(rank) if self.config.get("use_rslora") else rank)
        added = high @ low
        if self.config.get("fan_in_fan_out"):  # GPT-2's Conv1D holds its weight as [in, out].
            added = added.T
        return torch.add(base.float(), added, alpha=scale).to(base.dtype)


def read_adapter(policy_uri: str, manifest: Manifest) -> Adapter:
    """Read the adapter in `policy_uri` and check every hash.

    Raises Corrupt where tensors or configuration are not what the manifest says, Unsupported ADAPTER_UNSUPPORTED for
    what PEFT can do and this engine cannot, InvalidInput ADAPTER_MALFORMED for what is no adapter.
    """
    if read_text(policy_uri, ADAPTER_CONFIG_FILE) != manifest.adapter_config_json:
        raise Corrupt(
            f"{ADAPTER_CONFIG_FILE} of {policy_uri} is another than the manifest's; the old policy stays",
            reason="ADAPTER_CONFIG_MISMATCH",
        )
    config = _config(manifest.adapter_config_json)
    tensors = {entry.name: _read(policy_uri, entry) for entry in manifest.tensors}
    _check_pairs(tensors)
    entries = [
        TensorEntry(name, dtype_name(tensor.dtype), tuple(tensor.shape), tensor_sha256(tensor), file="")
        for name, tensor in tensors.items()
    ]
    held = content_hash(
        entries, base_content_hash=manifest.base_content_hash, adapter_config_json=manifest.adapter_config_json
    )
    return Adapter(tensors, config, held)


def check_target(adapter: Adapter, weight: str, shape: Sequence[int] | None, *, is_tied: bool) -> None:
    """Refuse an adapter that cannot be added to a weight of the model, whose shape is None where it has no such weight.

    Raises Corrupt for an unknown weight or another shape, Unsupported for a weight that is tied to another one.
    """
    if shape is None:
        raise Corrupt(
            f"the adapter adds to {weight!r}, which is not in the model; the old policy stays",
            reason="TENSOR_UNKNOWN",
            tensor=weight,
        )
    if is_tied:
        raise Unsupported(
            f"the adapter adds to {weight!r}, which is tied to another weight of the model that must not change; "
            "train the adapter without that module",
            reason="ADAPTER_UNSUPPORTED",
            tensor=weight,
        )
    low, high = adapter.weights[weight]
    added = (high.shape[0], low.shape[1])
    if adapter.config.get("fan_in_fan_out"):
        added = added[::-1]
    if added != tuple(shape):
        raise Corrupt(
            f"the adapter adds {list(added)} to {weight!r}, which has shape {list(shape)}; the old policy stays",
            reason="SHAPE_MISMATCH",
            tensor=weight,
        )


def check_base(manifest: Manifest, base_content_hash: str) -> None:
    """Raise Conflict where an adapter belongs to another base than the engine holds."""
    if manifest.base_content_hash != base_content_hash:
        raise Conflict(
            f"the adapter belongs to the base with content hash {manifest.base_content_hash}, the engine holds base "
            f"{base_content_hash}; load that base first",
            reason="ADAPTER_BASE_MISMATCH",
            asked=manifest.base_content_hash,
            held=base_content_hash,
        )


def _config(text: str) -> Mapping[str, Any]:
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _malformed(f"it is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise _malformed("it is no JSON object")
    alpha = config.get("lora_alpha")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise _malformed(f"lora_alpha must be a number; it is {alpha!r}")
    for name, known in PLAIN.items():
        if name in config and config[name] not in known:
            raise Unsupported(
                f"{ADAPTER_CONFIG_FILE}: {name} {config[name]!r} is not known to the engines; merge the "
                "adapter into its base before saving, or train it without",
                reason="ADAPTER_UNSUPPORTED",
                setting=name,
            )
    return config


def _read(policy_uri: str, entry: TensorEntry) -> Tensor:
    file = WeightFile(policy_uri, entry.file)
    if entry.name not in file:
        raise Corrupt(f"tensor {entry.name!r} is not in {entry.file}", reason="TENSOR_MISSING", tensor=entry.name)
    stored = file[entry.name]
    if (stored.dtype, stored.shape) != (entry.dtype, entry.shape):
        raise Corrupt(
            f"tensor {entry.name!r} is {entry.dtype} {list(entry.shape)} in the manifest, {stored.dtype} "
            f"{list(stored.shape)} in {entry.file}; the old policy stays",
            reason="SHAPE_MISMATCH" if stored.dtype == entry.dtype else "DTYPE_MISMATCH",
            tensor=entry.name,
        )
    tensor = file.read(entry.name)
    computed = tensor_sha256(tensor)
    if computed != entry.sha256:
        raise Corrupt(
            f"tensor {entry.name!r} in {entry.file} has SHA-256 {computed}, the manifest says {entry.sha256}; the old "
            "policy stays",
            reason="TENSOR_HASH_MISMATCH",
            tensor=entry.name,
        )
    return tensor


def _check_pairs(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        part = next((part for part in PARTS if name.endswith(part)), None)
        if part is None or not name.startswith(PREFIX) or tensor.dim() != 2:
            raise Unsupported(
                f"tensor {name!r} is no {PREFIX}….lora_A.weight or ….lora_B.weight of two dimensions",
                reason="ADAPTER_UNSUPPORTED",
                tensor=name,
            )
        other = name.removesuffix(part) + PARTS[1 - PARTS.index(part)]
        if other not in tensors:
            raise Corrupt(f"tensor {name!r} has no {other!r} beside it", reason="TENSOR_MISSING", tensor=other)
        if part == PARTS[0] and tensor.shape[0] != tensors[other].shape[1]:
            raise Corrupt(
                f"tensor {name!r} has rank {tensor.shape[0]}, {other!r} has {tensors[other].shape[1]}",
                reason="SHAPE_MISMATCH",
                tensor=name,
            )


def _malformed(what: str) -> InvalidInput:
    return InvalidInput(f"{ADAPTER_CONFIG_FILE}: {what}", reason="ADAPTER_MALFORMED")
