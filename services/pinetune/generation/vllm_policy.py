"""The policy that vLLM's processes hold, seen from the engine: what is asked of a manifest before they are asked.

The tensors are in `vllm_tensors.py`; here are their names, shapes and hashes.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pinetune.generation.engine import PolicyState
from pinetune.generation.model_outline import ModelOutline
from pinetune.pod import errors
from pinetune.pod.errors import Broken, Corrupt, InvalidInput, Unsupported
from pinetune.pod.manifest import Manifest, TensorEntry, content_hash

NAMES_SHOWN = 3
POLICY_LOST = "POLICY_LOST"
"""Reason of Broken where nobody knows what the workers hold; the engine must end."""

Rpc = Callable[..., Awaitable[list[dict[str, Any]]]]
"""Calls a method of `PolicyWorker` in every worker: `rpc(method, args)`."""


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
    _entries: dict[str, TensorEntry] = field(default_factory=dict)

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

    def tensor_hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each held tensor, by its first name."""
        return {name: entry.sha256 for name, entry in self._entries.items()}

    def check(self, manifest: Manifest) -> list[TensorEntry]:
        """Return the entries that differ from what is held.

        Raises Corrupt unless the manifest has each tensor of the model, in its shape and dtype, and no other.
        """
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
        return [entry for name, entry in wanted.items() if entry.sha256 != self._entries[name].sha256]

    async def load(self, policy_uri: str, manifest: Manifest, changed: Sequence[TensorEntry]) -> None:
        """Let the workers load the changed tensors; the state is then computed from what they hold.

        Raises what they raised, and Broken POLICY_LOST where they do not agree on what they hold.
        """
        rows = [asdict(entry) | {"shape": list(entry.shape)} for entry in changed]
        answers = await self.rpc("pinetune_load", (policy_uri, rows))
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
        held = content_hash(self._named_as_in(manifest))
        self.state = PolicyState(manifest.policy_version, held, _now())
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


def refuse_adapter(manifest: Manifest) -> None:
    """Raise Unsupported for anything but a whole model."""
    if manifest.kind != "full":
        raise Unsupported(
            f"the policy is of kind {manifest.kind!r}, the vllm engine loads whole models only; merge the adapter into "
            "its base before saving, or use the transformers engine",
            reason="POLICY_KIND_UNSUPPORTED",
            kind=manifest.kind,
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
