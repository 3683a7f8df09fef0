"""One policy takes another's place in vLLM while others sample: who ends first, who waits, what is forgotten."""

import asyncio
import time
from collections.abc import Callable

from vllm.v1.engine.async_llm import AsyncLLM

from pinetune.generation.admission import Admission, Kind
from pinetune.generation.engine import InFlight, LoadedPolicy
from pinetune.generation.vllm_policy import POLICY_LOST, Change, VllmPolicy
from pinetune.generation.weights import check_request
from pinetune.pod.errors import Broken
from pinetune.pod.manifest import Manifest, read_manifest

SCORED: tuple[Kind, ...] = ("scoring", "shaped sampling")


class PolicyReplacing:
    """Replaces the policy of one engine; used in its event loop."""

    def __init__(
        self, llm: AsyncLLM, policy: VllmPolicy, admission: Admission, on_death: Callable[[str], None]
    ) -> None:
        """`on_death` is told why the engine cannot go on."""
        self._llm, self._policy, self._admission, self._on_death = llm, policy, admission, on_death
        self._one_at_a_time = asyncio.Lock()

    async def load(self, policy_uri: str, policy_version: int, content_hash: str, in_flight: InFlight) -> LoadedPolicy:
        """Replace the held policy; on any error the old one stays. See `Engine.load_policy`."""
        began = time.monotonic()
        manifest = await asyncio.to_thread(read_manifest, policy_uri)
        check_request(manifest, policy_version, content_hash)
        async with self._one_at_a_time:
            held = self._policy.state
            if (held.policy_version, held.content_hash) == (manifest.policy_version, manifest.content_hash):
                return LoadedPolicy(held, changed_tensor_count=0, seconds=time.monotonic() - began)
            change = await asyncio.to_thread(self._policy.check, policy_uri, manifest)
            async with self._admission.closed():
                if in_flight == "abort":
                    self._admission.abort()
                # What is scored, now or at its end, ends first: its log-probabilities must be of one policy.
                await self._admission.drained(*(SCORED if in_flight == "continue" else ()))
                began = time.monotonic()
                # On its own, so that a caller who leaves cannot end it half-way.
                placing = asyncio.create_task(self._place(manifest, change, in_flight))
                try:
                    await asyncio.shield(placing)
                finally:
                    await asyncio.wait([placing])
            return LoadedPolicy(self._policy.state, change.tensor_count, time.monotonic() - began)

    async def _place(self, manifest: Manifest, change: Change, in_flight: InFlight) -> None:
        """Let the workers take the policy while nothing is being sampled, and forget what was cached of the old one."""
        if in_flight == "continue":
            await self._llm.pause_generation(mode="keep", clear_cache=False)
        try:
            await self._policy.load(manifest, change)
            await self._llm.update_weight_version(str(manifest.policy_version))
        except Broken as error:
            if error.reason == POLICY_LOST:
                self._on_death(error.message)
            raise
        finally:
            # Also after an error: what is kept of keys and values must never be of other weights. With the running
            # requests, since else vLLM leaves the cache as it is where it believes that one still runs.
            if not await self._llm.reset_prefix_cache(reset_running_requests=True):
                self._on_death("vLLM does not forget the keys and values of the old policy")
            if in_flight == "continue":
                await self._llm.resume_generation()
