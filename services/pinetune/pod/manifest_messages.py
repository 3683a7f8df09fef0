"""A manifest as a message: how it is said between services what a policy consists of."""

from dataclasses import asdict
from typing import Literal

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.pod.errors import InvalidInput
from pinetune.pod.manifest import Manifest, TensorEntry

KINDS: dict[Literal["full", "lora"], wire.PolicyKind] = {
    "full": wire.POLICY_KIND_FULL,
    "lora": wire.POLICY_KIND_LORA,
}
KIND_OF_MESSAGE = {message: kind for kind, message in KINDS.items()}


def manifest_message(manifest: Manifest) -> wire.PolicyManifest:
    """Spell a manifest."""
    return wire.PolicyManifest(
        policy_version=manifest.policy_version,
        content_hash=manifest.content_hash,
        tensors=[wire.TensorEntry(**asdict(entry)) for entry in manifest.tensors],
        kind=KINDS[manifest.kind],
        base_content_hash=manifest.base_content_hash,
        create_time=manifest.create_time,
        adapter_config_json=manifest.adapter_config_json,
    )


def manifest_of_message(message: wire.PolicyManifest) -> Manifest:
    """Read a manifest; raises InvalidInput for a kind that is not set, and what is wrong with it `check_manifest`
    says.
    """
    if message.kind not in KIND_OF_MESSAGE:
        raise InvalidInput(
            f"manifest.kind must be POLICY_KIND_FULL or POLICY_KIND_LORA; it is {message.kind}",
            reason="POLICY_KIND_UNSUPPORTED",
            field="manifest.kind",
        )
    return Manifest(
        policy_version=message.policy_version,
        content_hash=message.content_hash,
        tensors=tuple(
            TensorEntry(entry.name, entry.dtype, tuple(entry.shape), entry.sha256, entry.file)
            for entry in message.tensors
        ),
        kind=KIND_OF_MESSAGE[message.kind],
        base_content_hash=message.base_content_hash,
        create_time=message.create_time,
        adapter_config_json=message.adapter_config_json,
    )
