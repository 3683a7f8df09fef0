"""The policy that vLLM's processes hold, seen from the engine: what is asked of a manifest before they are asked.

The tensors are in `vllm_tensors.py`; here are their names, shapes and hashes.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pinetune.generation.adapters import check_base, check_target, read_adapter
from pinetune.generation.engine import PolicyState
from pinetune.generation.model_outline import ModelOutline
from pinetune.pod import errors
from pinetune.pod.errors import Broken, Corrupt, InvalidInput
from pinetune.pod.manifest import Manifest, TensorEntry, content_hash

NAMES_SHOWN = 3
POLICY_LOST = "POLICY_LOST"
"""Reason of Broken where nobody knows what the workers hold; the engine must end."""

Rpc = Callable[..., Awaitable[list[dict[str, Any]]]]
"""Calls a method of `PolicyWorker` in every worker: `rpc(method, args)`."""


@dataclass(frozen=True)
class Change:
    """What the workers are to do so that they hold a policy."""

    method: str
    """The worker's method."""
    arguments: tuple[Any, ...]
    """What it is called with."""
    tensor_count: int
    """Tensors of the model that change."""
    adapted: frozenset[str] = frozenset()
    """Those that then have an adapter in them, by first name."""


@dataclass
class VllmPolicy:
    """The held policy of one engine."""

    outline: ModelOutline
    """The model's tensors by name."""
    rpc: Rpc
    """How its workers are reached."""
    state: PolicyState = field(default=PolicyState(0, "", ""))
    """What is held."""
    unread_count: int = 0
    """Tensors that cannot be read back out of the model, so that only the canary attests them."""
    folders: frozenset[str] = frozenset()
    """Folders of policies that the workers may read again while they hold this one."""
    _entries: dict[str, TensorEntry] = field(default_factory=dict)
    _base_content_hash: str = ""
    """Content hash of the whole model that adapters are added to."""
    _adapted: frozenset[str] = frozenset()
    """Tensors that have an adapter in them, by first name."""

    async def hold_base(self, model: str) -> None:
        """Take the base model that the workers have loaded; raises InvalidInput where its files lack tensors."""
        first_names = {name: tensor.first_name for name, tensor in self.outline.tensors.items()}
        answers = await self.rpc("pinetune_hold", (first_names, self.outline.prefix))
        for name, sha256, dtype, shape in answers[0]["tensors"]:
            self._entries[name] = TensorEntry(name, dtype, tuple(shape), sha256, file="")
        missing = sorted(set(first_names.values()) - set(self._entries))
        if missing:
            raise InvalidInput(
                f"PINETUNE_GENERATION_MODEL: {model!r} lacks {len(missing)} weights: {_shown(missing)}",
                reason="MODEL_INCOMPLETE",
                model=model,
            )
        self.unread_count = len({name for answer in answers for name in answer["unread"]})
        self.state = PolicyState(0, content_hash(self._entries.values()), _now())
        self._base_content_hash = self.state.content_hash

    def tensor_hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each held tensor, by its first name."""
        return {name: entry.sha256 for name, entry in self._entries.items()}

    def check(self, policy_uri: str, manifest: Manifest) -> "Change":
        """Return what has to change for a policy to be held.

        Raises Corrupt unless a manifest has each tensor of the model, in its shape and dtype, and no other; for an
        adapter what `adapters.py` raises, which it reads.
        """
        if manifest.kind == "lora":
            return self._check_adapter(policy_uri, manifest)
        changed: list[dict[str, Any]] = []
        same: list[dict[str, Any]] = []
        for name, entry in self._check_model(manifest).items():
            rows = same if entry.sha256 == self._entries[name].sha256 else changed
            rows.append(asdict(entry) | {"shape": list(entry.shape)})
        return Change("pinetune_load", (policy_uri, changed, same), tensor_count=len(changed))

    def _check_adapter(self, policy_uri: str, manifest: Manifest) -> "Change":
        check_base(manifest, self._base_content_hash)
        adapter = read_adapter(policy_uri, manifest)
        tensors = self.outline.tensors
        first_names = Counter(tensor.first_name for tensor in tensors.values())
        targets: dict[str, str] = {}
        for weight in adapter.weights:
            outlined = tensors.get(weight)
            shape = None if outlined is None else outlined.shape
            is_tied = outlined is not None and first_names[outlined.first_name] > 1
            check_target(adapter, weight, shape, is_tied=is_tied)
            targets[tensors[weight].first_name] = weight
        return Change(
            "pinetune_load_adapter",
            (policy_uri, adapter.content_hash, targets),
            tensor_count=len(self._adapted | targets.keys()),
            adapted=frozenset(targets),
        )

    def _check_model(self, manifest: Manifest) -> dict[str, TensorEntry]:
        """Return a manifest's entry for each tensor of the model, by first name."""
        wanted: dict[str, TensorEntry] = {}
        for entry in manifest.tensors:
            outlined = self.outline.tensors.get(entry.name)
            if outlined is None:
                raise _corrupt(f"tensor {entry.name!r} of the policy is not in the model", "TENSOR_UNKNOWN", entry.name)
            self._check_entry(entry, outlined.shape, self._entries[outlined.first_name].dtype)
            if wanted.setdefault(outlined.first_name, entry).sha256 != entry.sha256:
                raise _corrupt(
                    f"tensor {entry.name!r} is tied to another one in the model, but differs from it in the policy",
                    "TENSOR_UNTIED",
                    entry.name,
                )
        missing = [name for name in self._entries if name not in wanted]
        if missing:
            raise _corrupt(
                f"the policy lacks {len(missing)} tensors of the model: {_shown(missing)}", "TENSOR_MISSING", missing[0]
            )
        return wanted

    async def load(self, manifest: Manifest, change: "Change") -> None:
        """Let the workers change what they hold; the state is then computed from it.

        Raises what they raised, and Broken POLICY_LOST where they do not agree on what they hold.
        """
        answers = await self.rpc(change.method, change.arguments)
        refusals = [answer["error"] for answer in answers if "error" in answer]
        if len(refusals) == len(answers):
            raise _error(refusals[0])
        if refusals or any(answer["hashes"] != answers[0]["hashes"] for answer in answers):
            raise Broken(
                "some workers took the policy and others did not; the engine has to be started again",
                reason=POLICY_LOST,
            )
        hashes: Mapping[str, str] = answers[0]["hashes"]
        self._entries = {
            name: TensorEntry(name, entry.dtype, entry.shape, hashes[name], file="")
            for name, entry in self._entries.items()
        }
        self.folders = frozenset(folder for answer in answers for folder in answer["folders"])
        self._adapted = change.adapted
        # An adapter's own tensors are in no layer: the workers compared its hash when they read it, and then the
        # layers with the sum.
        held = manifest.content_hash if manifest.kind == "lora" else content_hash(self._named_as_in(manifest))
        self.state = PolicyState(manifest.policy_version, held, _now())
        if manifest.kind == "full":
            self._base_content_hash = held
        if held != manifest.content_hash:
            raise Broken(
                f"the engine holds content hash {held} after loading, not {manifest.content_hash} as the policy has; "
                "it has to be started again",
                reason=POLICY_LOST,
            )

    def _named_as_in(self, manifest: Manifest) -> list[TensorEntry]:
        """Return the held tensors under the names that a manifest uses for them."""
        return [
            TensorEntry(entry.name, held.dtype, held.shape, held.sha256, file="")
            for entry in manifest.tensors
            for held in [self._entries[self.outline.tensors[entry.name].first_name]]
        ]

    def _check_entry(self, entry: TensorEntry, shape: tuple[int, ...], dtype: str) -> None:
        if entry.shape != shape:
            raise _corrupt(
                f"tensor {entry.name!r} has shape {list(entry.shape)} in the manifest, {list(shape)} in the model",
                "SHAPE_MISMATCH",
                entry.name,
            )
        if entry.dtype != dtype:
            raise _corrupt(
                f"tensor {entry.name!r} is {entry.dtype} in the manifest, {dtype} in the model",
                "DTYPE_MISMATCH",
                entry.name,
            )


def _error(answer: Mapping[str, Any]) -> errors.PinetuneError:
    kind: type[errors.PinetuneError] = getattr(errors, answer["kind"])
    error = kind(answer["message"], reason=answer["reason"])
    error.metadata = dict(answer["metadata"])
    return error


def _corrupt(what: str, reason: str, tensor: str) -> Corrupt:
    return Corrupt(f"{what}; the old policy stays", reason=reason, tensor=tensor)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:NAMES_SHOWN])) + (" …" if len(names) > NAMES_SHOWN else "")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
