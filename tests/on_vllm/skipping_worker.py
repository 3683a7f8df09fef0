"""Workers that lose updates, as vLLM's processes import them: what attestation has to catch."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from pinetune.generation.vllm_places import Place
from pinetune.generation.vllm_tensors import HeldPolicy
from pinetune.generation.vllm_worker import PolicyWorker


class SkippingPolicy(HeldPolicy):
    """Loses every update without an error."""

    def _place(self, changed: Mapping[str, Tensor]) -> None:
        pass


class LosingPolicy(HeldPolicy):
    """Can place nothing, not even the old policy."""

    def _place(self, changed: Mapping[str, Tensor]) -> None:
        raise RuntimeError("lost")


class UnpackedPolicy(HeldPolicy):
    """Leaves the packed copy of a tied output layer as it was, as vLLM does by itself."""

    def _repack_tied(self) -> None:
        pass


class FailingPolicy(HeldPolicy):
    """Places half of the tensors of the first policy, and then fails."""

    _failed = False

    def _place(self, changed: Mapping[str, Tensor]) -> None:
        if self._failed:
            return super()._place(changed)
        self._failed = True
        super()._place(dict(list(changed.items())[::2]))
        raise RuntimeError("half-way")


class UnreadablePolicy(HeldPolicy):
    """Can read no tensor back, as where layers are quantised or spread over GPUs."""

    def _find_place(self, name: str) -> Place | None:
        return None


class UnreadableFailingPolicy(FailingPolicy, UnreadablePolicy):
    pass


class Worker(PolicyWorker):
    policy: ClassVar[type[HeldPolicy]]

    def pinetune_hold(self, first_names: dict[str, str], prefix: str) -> dict[str, Any]:
        self._pinetune_policy = self.policy(self, first_names, prefix)
        return self._pinetune_policy.describe()


class SkippingWorker(Worker):
    policy = SkippingPolicy


class LosingWorker(Worker):
    policy = LosingPolicy


class UnpackedWorker(Worker):
    policy = UnpackedPolicy


class FailingWorker(Worker):
    policy = FailingPolicy


class UnreadableWorker(Worker):
    policy = UnreadablePolicy


class UnreadableFailingWorker(Worker):
    policy = UnreadableFailingPolicy
