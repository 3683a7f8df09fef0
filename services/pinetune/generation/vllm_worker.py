"""What runs inside vLLM's own processes: vLLM imports this file there, and the engine speaks to it by RPC."""

import ctypes
import multiprocessing
import signal
import sys
from collections.abc import Callable
from typing import Any, cast

from vllm.v1.worker.worker_base import WorkerBase

from pinetune.generation.adapters import read_adapter
from pinetune.generation.vllm_tensors import HeldPolicy
from pinetune.pod.errors import Corrupt, PinetuneError
from pinetune.pod.manifest import read_manifest

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Let Linux kill this process once its parent is gone, however that died; vLLM itself would stay and wait."""
    if sys.platform == "linux" and multiprocessing.parent_process() is not None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# Here, since vLLM imports this file before it loads a model, which is when most memory is taken.
end_with_parent()


class PolicyWorker:
    """What vLLM's worker class gains: three calls of the engine. Answers are plain values; errors are answers too."""

    def pinetune_hold(self, first_names: dict[str, str], prefix: str) -> dict[str, Any]:
        """Take the base model as the held policy: hash its files' tensors and look where they can be read back.

        `first_names` gives each tensor's name the first of its names. Returns name, SHA-256, dtype and shape of each
        tensor, and the names of those that cannot be read back.
        """
        worker = cast(WorkerBase, self)
        self._pinetune_policy = HeldPolicy(worker, first_names, prefix)
        return self._pinetune_policy.describe()

    def pinetune_load(
        self, policy_uri: str, changed: list[dict[str, Any]], same: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Load the tensors of a policy that differ from the held ones; both lists are entries of its manifest.

        Returns the SHA-256 of every tensor that is then held and the folders that must stay, or under `error` what went
        wrong.
        """
        return self._answer(lambda: self._pinetune_policy.load(policy_uri, changed, same))

    def pinetune_load_adapter(self, policy_uri: str, content_hash: str, targets: dict[str, str]) -> dict[str, Any]:
        """Add the adapter in a folder to the base; `targets` gives what the adapter calls each of its weights.

        Answers as `pinetune_load` does.
        """

        def load() -> dict[str, str]:
            adapter = read_adapter(policy_uri, read_manifest(policy_uri))
            if adapter.content_hash != content_hash:
                raise Corrupt(
                    f"the adapter in {policy_uri} has content hash {adapter.content_hash}, not {content_hash} as when "
                    "it was checked; the old policy stays",
                    reason="CONTENT_HASH_MISMATCH",
                )
            return self._pinetune_policy.load_adapter(adapter, targets)

        return self._answer(load)

    def _answer(self, load: Callable[[], dict[str, str]]) -> dict[str, Any]:
        try:
            return {"hashes": load(), "folders": self._pinetune_policy.folders}
        except PinetuneError as error:
            metadata = {"kind": type(error).__name__, "message": error.message, "reason": error.reason}
            return {"error": metadata | {"metadata": error.metadata}}
