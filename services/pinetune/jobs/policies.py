"""Carries a policy from the learner to every sampler, and attests that it arrived.

`publish` has four parts: the learner writes the weights and, last, their manifest; every sampler loads them; each
answers with the hash of what it holds; sampler and learner score the same canary tokens and must agree. Only then does
the next step sample. Folders that nothing needs any more are deleted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import fsspec

from pinetune.client.generation import GenerationClient
from pinetune.client.generation_replicas import GenerationReplicas
from pinetune.client.learning import LearningClient
from pinetune.client.prompts import TokenSequence
from pinetune.pod.errors import Conflict


@dataclass(frozen=True)
class Policy:
    """A policy that learner and samplers agree on."""

    version: int
    """Its version; 0 is the base model."""
    uri: str
    """Its folder."""
    content_hash: str
    """Over all its tensors."""
    canary_gap: float | None = None
    """Mean absolute difference of the canary's log-probabilities; None where nothing was compared."""


@dataclass(frozen=True)
class _Canary:
    """What the learner makes of the canary under one policy."""

    policy_version: int
    sequence: TokenSequence
    logprobs: Sequence[float]


class Policies:
    """The policies of one job."""

    def __init__(
        self, learning: LearningClient, generation: GenerationReplicas, *, folder: str, max_canary_gap: float
    ) -> None:
        self._learning = learning
        self._generation = generation
        self._folder = folder
        self._max_canary_gap = max_canary_gap
        self._kept: set[str] = set()
        self._canary: _Canary | None = None
        generation.check_returned(self._attest_returned)
        self.current: Policy | None = None
        """The last published policy."""

    def keep(self, uri: str) -> None:
        """Do not delete the folder when the next policy is published."""
        self._kept.add(uri)

    def drop(self, uris: Sequence[str]) -> None:
        """Delete folders that no checkpoint needs; the current policy's goes with the next one."""
        for uri in uris:
            self._kept.discard(uri)
            if self.current is None or uri != self.current.uri:
                delete_folder(uri)

    def publish(self, version: int, canary: TokenSequence) -> Policy:
        """Make the learner's current policy that of all samplers, as `version`.

        Raises Conflict POLICY_NOT_ATTESTED where a sampler holds other weights or scores the canary differently.
        """
        uri = f"{self._folder}/v{version:06d}"
        saved = self._learning.save_policy(uri, policy_version=version)
        # Known before the policy is loaded: a sampler that comes back under way is held against it too.
        self._canary = _Canary(version, canary, self._learning.score([canary])[0])
        policy = self.load(uri, saved.policy_version, saved.content_hash)
        gap = self._attest(self._canary, [scored[0] for scored in self._generation.score([canary])])
        previous, self.current = self.current, Policy(version, uri, policy.content_hash, gap)
        if previous is not None and previous.uri != uri and previous.uri not in self._kept:
            delete_folder(previous.uri)
        return self.current

    def load(self, uri: str, version: int, content_hash: str) -> Policy:
        """Load a saved policy into every sampler, and check by hash that each holds it."""
        for state in self._generation.load_policy(uri, policy_version=version, content_hash=content_hash):
            if (state.policy_version, state.content_hash) != (version, content_hash):
                raise Conflict(
                    f"a sampler was given policy {version} ({content_hash[:12]}…) and holds policy "
                    f"{state.policy_version} ({state.content_hash[:12]}…)",
                    reason="POLICY_NOT_ATTESTED",
                    policy_version=version,
                )
        return Policy(version, uri, content_hash)

    def _attest_returned(self, replica: GenerationClient, policy_version: int) -> None:
        """Let a sampler that came back score the canary too; a policy the learner no longer has is known by hash."""
        if self._canary is not None and self._canary.policy_version == policy_version:
            self._attest(self._canary, replica.score([self._canary.sequence]))

    def _attest(self, canary: "_Canary", scores: Sequence[Sequence[float]]) -> float:
        """Return the largest mean gap between the learner's and the samplers' log-probabilities of the canary."""
        gaps = []
        for scored in scores:
            pairs = zip(scored, canary.logprobs, strict=True)
            gaps.append(sum(abs(one - other) for one, other in pairs) / len(canary.logprobs))
        # max() may lose a NaN, and a NaN is the worst gap there is.
        gap = math.nan if any(map(math.isnan, gaps)) else max(gaps)
        if not gap <= self._max_canary_gap:  # A gap that is no number is no agreement either.
            raise Conflict(
                f"sampler and learner disagree on policy {canary.policy_version}: the canary's log-probabilities "
                f"differ by {gap:.3g} on average, above the limit pinetune.policies.max_canary_gap of "
                f"{self._max_canary_gap:g}",
                reason="POLICY_NOT_ATTESTED",
                policy_version=canary.policy_version,
            )
        return gap


def delete_folder(uri: str) -> None:
    """Delete a folder with all in it; one that is gone already is fine."""
    filesystem, path = fsspec.core.url_to_fs(uri)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


def copy_folder(source: str, target: str) -> None:
    """Copy a folder with all in it, replacing what is at `target`."""
    delete_folder(target)
    filesystem, path = fsspec.core.url_to_fs(source)
    _, target_path = fsspec.core.url_to_fs(target)
    # A trailing slash says: the folder's content, into the target.
    filesystem.cp(path.rstrip("/") + "/", target_path.rstrip("/") + "/", recursive=True)
