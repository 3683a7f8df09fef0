"""Sends a policy from the learner straight to generation services, all of them at once.

The manifest says what is sent; each service takes what it does not hold and answers with what it then holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from pinetune.client.policy_stream import CHANNEL_OPTIONS, StreamedPolicy, TensorBytes, stream_policy
from pinetune.learning.policy_files import WEIGHTS_FILE, bytes_of, entries_of, manifest_of
from pinetune.pod import trace
from pinetune.pod.channel import connect
from pinetune.pod.errors import PinetuneError
from pinetune.pod.manifest import Manifest, TensorEntry, read_manifest
from pinetune.pod.tensor_files import TensorFile


@dataclass(frozen=True)
class PolicySource:
    """A policy that can be sent."""

    manifest: Manifest
    """What it consists of."""
    read: TensorBytes
    """Gives a tensor's bytes in pieces of at most so many."""


class Send(Protocol):
    """A way to make services hold a policy: `push`, or a broadcast."""

    def __call__(
        self, source: PolicySource, addresses: Sequence[str], *, deadline_seconds: float
    ) -> list[StreamedPolicy]:
        """Send it; returns what each service then holds."""
        ...


def held_policy(tensors: Mapping[str, Tensor], policy_version: int) -> PolicySource:
    """Return the policy of these tensors; they must not change while it is sent."""

    def read(entry: TensorEntry, size: int) -> Iterator[memoryview]:
        data = bytes_of(tensors[entry.name])
        for start in range(0, len(data), size):
            yield data[start : start + size]

    return PolicySource(manifest_of(entries_of(tensors, WEIGHTS_FILE), policy_version), read)


def saved_policy(policy_uri: str) -> PolicySource:
    """Return the policy of a folder. Raises NotFound, InvalidInput or Corrupt where it is none."""
    manifest = read_manifest(policy_uri)
    files = {file: TensorFile(policy_uri, file) for file in {entry.file for entry in manifest.tensors}}
    return PolicySource(manifest, lambda entry, size: files[entry.file].chunks(entry.name, size))


def push(source: PolicySource, addresses: Sequence[str], *, deadline_seconds: float) -> list[StreamedPolicy]:
    """Send the policy to every service; returns what each then holds, or raises the first one's error, which names
    it.
    """

    def send(address: str) -> StreamedPolicy:
        try:
            with connect(address, options=CHANNEL_OPTIONS) as channel:
                return stream_policy(channel, source.manifest, source.read, deadline_seconds=deadline_seconds)
        except PinetuneError as error:
            error.message = f"policy {source.manifest.policy_version} to {address}: {error.message}"
            error.metadata["address"] = address
            raise

    with ThreadPoolExecutor(len(addresses) or 1) as pool:
        return list(pool.map(trace.carried(send), addresses))
