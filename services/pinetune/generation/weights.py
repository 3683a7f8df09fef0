"""The weights an engine holds, and how a policy replaces them: all of it or nothing, and no byte unchecked.

1. manifest: version and content hash are those that were asked for; names, shapes and dtypes are the model's and the
   files'. Nothing has been touched until here.
2. place: each tensor whose hash differs from the held one is written into the model's own memory, the old one kept
   aside.
3. attest: what that memory then holds is hashed (`held_tensors.py`), and the content hash is computed from what the
   model holds. Where either is not the manifest's, the old tensors are put back.

A policy of kind `lora` is an adapter over the whole model that was loaded last, its base. The engine holds W + s·B·A in
W's place and keeps W beside it, so that the next adapter begins from the base again, bit for bit. Three things are
attested for it: the base by its content hash, the adapter's tensors and configuration by theirs, and that the memory
holds the very sum that was computed from both. The content hash answered is the adapter's.

A policy may name tied weights by any of their names, or by all of them if they are equal; they stay tied.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from torch import Tensor, nn

from pinetune.generation.adapters import Adapter, check_base, check_target, read_adapter
from pinetune.generation.engine import LoadedPolicy, PolicyState
from pinetune.generation.held_tensors import Fill, HeldTensors, WrongBytes
from pinetune.generation.weight_files import WeightFile, dtype_name, tensor_sha256
from pinetune.pod.errors import Conflict, Corrupt
from pinetune.pod.manifest import Manifest, TensorEntry, content_hash, read_manifest

NAMES_SHOWN = 3


class HeldWeights:
    """The weights of one model in memory, with their hashes."""

    def __init__(self, model: nn.Module, threads: int) -> None:
        self._tensors = HeldTensors(model, threads)
        self._base: dict[str, Tensor] = {}
        """The base's own tensors where the held ones have an adapter in them, by first name."""
        self.state = PolicyState(0, self._content_hash(self._tensors.names), _now())
        self._base_content_hash = self.state.content_hash

    @property
    def tensor_hashes(self) -> dict[str, str]:
        """SHA-256 of what each name of the model holds; these tensors need not be brought again."""
        return self._tensors.hash_of_every_name()

    def load(self, policy_uri: str, policy_version: int, expected_content_hash: str) -> LoadedPolicy:
        """Replace the weights by the policy in `policy_uri`; loading what is held changes nothing.

        Raises NotFound and InvalidInput as `read_manifest` does, Conflict where the manifest is not of the version or
        content hash that was asked for or the adapter of another base, Corrupt where tensors are not what the manifest
        or the model says, Unsupported for adapters of another kind. The old policy then stays.
        """
        began = time.monotonic()
        manifest = read_manifest(policy_uri)
        check_request(manifest, policy_version, expected_content_hash)
        if (self.state.policy_version, self.state.content_hash) == (manifest.policy_version, manifest.content_hash):
            return LoadedPolicy(self.state, changed_tensor_count=0, seconds=time.monotonic() - began)
        load = self._load_adapter if manifest.kind == "lora" else self._load_model
        changed_count = load(policy_uri, manifest)
        self.state = PolicyState(manifest.policy_version, manifest.content_hash, _now())
        return LoadedPolicy(self.state, changed_count, seconds=time.monotonic() - began)

    def _load_model(self, policy_uri: str, manifest: Manifest) -> int:
        self._check_model(manifest)
        files = self._changed(policy_uri, manifest)
        fills = {name: _fill(file, entry) for name, (file, entry) in files.items()}
        try:
            self._tensors.replace(fills)
        except WrongBytes as wrong:
            raise _explained(wrong, files) from wrong
        held = self._content_hash(entry.name for entry in manifest.tensors)
        # Each hash was the manifest's, so this cannot differ; it is computed all the same, since it is what is
        # answered.
        assert held == manifest.content_hash
        self._base, self._base_content_hash = {}, held
        return len(fills)

    def _load_adapter(self, policy_uri: str, manifest: Manifest) -> int:
        check_base(manifest, self._base_content_hash)
        adapter = read_adapter(policy_uri, manifest)
        assert adapter.content_hash == manifest.content_hash, "every part was compared with the manifest's"
        targets = {self._target(adapter, weight): weight for weight in adapter.weights}
        # What an earlier adapter changed and this one does not goes back to the base.
        names = [*self._base, *(name for name in targets if name not in self._base)]
        base = {
            name: self._base[name] if name in self._base else self._tensors[name].to("cpu", copy=True) for name in names
        }

        def fill(name: str) -> Fill:
            def place(held: Tensor) -> str:
                merged = adapter.merged(base[name], targets[name]) if name in targets else base[name]
                held.copy_(merged)
                return tensor_sha256(merged)

            return place

        try:
            self._tensors.replace({name: fill(name) for name in names})
        except WrongBytes as wrong:
            raise _explained(wrong, {}) from wrong
        self._base = {name: base[name] for name in targets}
        return len(names)

    def _target(self, adapter: Adapter, weight: str) -> str:
        """Return the first name of a weight that an adapter adds to; refuse what it cannot be added to."""
        known = weight in self._tensors
        shape = tuple(self._tensors[weight].shape) if known else None
        check_target(adapter, weight, shape, is_tied=known and self._tensors.is_tied(weight))
        return self._tensors.first_name(weight)

    def _check_model(self, manifest: Manifest) -> None:
        """Raise Corrupt unless the manifest has each tensor of the model, in its shape and dtype, and no other."""
        hash_of_tensor: dict[str, str] = {}
        for entry in manifest.tensors:
            if entry.name not in self._tensors:
                raise _corrupt(f"tensor {entry.name!r} of the policy is not in the model", "TENSOR_UNKNOWN", entry.name)
            held = self._tensors[entry.name]
            _check_entry(entry, "the model", tuple(held.shape), dtype_name(held.dtype))
            if hash_of_tensor.setdefault(self._tensors.first_name(entry.name), entry.sha256) != entry.sha256:
                raise _corrupt(
                    f"tensor {entry.name!r} is tied to another one in the model, but differs from it in the policy",
                    "TENSOR_UNTIED",
                    entry.name,
                )
        missing = [name for name in self._tensors.names if name not in hash_of_tensor]
        if missing:
            shown = ", ".join(map(repr, missing[:NAMES_SHOWN])) + (" …" if len(missing) > NAMES_SHOWN else "")
            raise _corrupt(
                f"the policy lacks {len(missing)} tensors of the model: {shown}", "TENSOR_MISSING", missing[0]
            )

    def _changed(self, policy_uri: str, manifest: Manifest) -> dict[str, tuple[WeightFile, TensorEntry]]:
        """Return, by its first name, where each tensor lies whose hash is not the held one."""
        files: dict[str, WeightFile] = {}
        changed: dict[str, tuple[WeightFile, TensorEntry]] = {}
        for entry in manifest.tensors:
            name = self._tensors.first_name(entry.name)
            if self._tensors.hashes[name] == entry.sha256 or name in changed:
                continue
            if entry.file not in files:
                files[entry.file] = WeightFile(policy_uri, entry.file)
            file = files[entry.file]
            if entry.name not in file:
                raise _corrupt(f"tensor {entry.name!r} is not in {entry.file}", "TENSOR_MISSING", entry.name)
            _check_entry(entry, entry.file, file[entry.name].shape, file[entry.name].dtype)
            changed[name] = file, entry
        return changed

    def _content_hash(self, names: Iterable[str]) -> str:
        """Return the content hash of what the model holds under these names."""
        hashes = self._tensors.hash_of_every_name()
        return content_hash(
            TensorEntry(name, dtype_name(tensor.dtype), tuple(tensor.shape), hashes[name], file="")
            for name in names
            for tensor in [self._tensors[name]]
        )


def check_request(manifest: Manifest, policy_version: int, expected_content_hash: str) -> None:
    """Raise Conflict unless the manifest is that of the policy that was asked for; an empty hash asks for none."""
    if manifest.policy_version != policy_version:
        raise Conflict(
            f"policy_version {policy_version} was asked for, the manifest names {manifest.policy_version}",
            reason="POLICY_VERSION_MISMATCH",
            asked=policy_version,
            named=manifest.policy_version,
        )
    if expected_content_hash and manifest.content_hash != expected_content_hash:
        raise Conflict(
            f"content_hash {expected_content_hash} was asked for, the manifest names {manifest.content_hash}",
            reason="CONTENT_HASH_UNEXPECTED",
            asked=expected_content_hash,
            named=manifest.content_hash,
        )


def _fill(file: WeightFile, entry: TensorEntry) -> Fill:
    def place(held: Tensor) -> str:
        file.fill(entry.name, held)
        return entry.sha256

    return place


def _explained(wrong: WrongBytes, files: Mapping[str, tuple[WeightFile, TensorEntry]]) -> Corrupt:
    """Return the error for tensors that hold the wrong bytes; it says whether they came wrong or were not kept."""
    name, computed = min(wrong.computed.items())
    share = f"{len(wrong.computed)} of {wrong.count} changed tensors"
    if name in files:
        file, entry = files[name]
        stored = tensor_sha256(file.read(entry.name))
        if stored != entry.sha256:
            return _corrupt(
                f"tensor {entry.name!r} in {entry.file} has SHA-256 {stored}, the manifest says {entry.sha256}; "
                f"{share} are not what the manifest says",
                "TENSOR_HASH_MISMATCH",
                entry.name,
            )
    return Corrupt(
        f"the engine holds {share} otherwise than they were given, first {name!r} with SHA-256 {computed}; the old "
        "policy was put back",
        reason="CONTENT_HASH_MISMATCH",
        tensor=name,
    )


def _check_entry(entry: TensorEntry, place: str, shape: tuple[int, ...], dtype: str) -> None:
    if entry.shape != shape:
        raise _corrupt(
            f"tensor {entry.name!r} has shape {list(entry.shape)} in the manifest, {list(shape)} in {place}",
            "SHAPE_MISMATCH",
            entry.name,
        )
    if entry.dtype != dtype:
        raise _corrupt(
            f"tensor {entry.name!r} is {entry.dtype} in the manifest, {dtype} in {place}",
            "DTYPE_MISMATCH",
            entry.name,
        )


def _corrupt(what: str, reason: str, tensor: str) -> Corrupt:
    return Corrupt(f"{what}; the old policy stays", reason=reason, tensor=tensor)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
