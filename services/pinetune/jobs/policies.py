"""Carries a policy from the learner to every sampler, and attests that it arrived.

`publish` has four parts: the learner brings the weights to every sampler, through storage with their manifest written
last, straight over gRPC, or by a broadcast; every sampler loads them; each says by the hash of what it holds which
policy that is; sampler and learner score the same canary tokens and must agree. Only then does the next step sample.
Folders that nothing needs any more are deleted.

The hash finds whatever is not byte for byte what the learner sent. The canary finds what no hash can: a sampler that
holds the right weights and computes with others. What the learner made of it is remembered for each policy that is
kept, so that one is held against it again when it is loaded for the final comparison. A worker that was started again
has forgotten it, and then the hash alone attests.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pinetune.client.generation import GenerationClient, PolicyState
from pinetune.client.generation_replicas import GenerationReplicas
from pinetune.client.learning import LearningClient
from pinetune.client.prompts import TokenSequence
from pinetune.jobs import worker_metrics
from pinetune.jobs.spec.settings import Way
from pinetune.pod.errors import Conflict, TimedOut, Transient, Unavailable
from pinetune.pod.storage import delete_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Policy:
    """A policy that learner and samplers agree on."""

    version: int
    """Its version; 0 is the base model."""
    uri: str
    """Its folder; one that was streamed is there once it is saved."""
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
        self,
        learning: LearningClient,
        generation: GenerationReplicas,
        *,
        folder: str,
        max_canary_gap: float,
        way: Way = "shared_storage",
    ) -> None:
        """Carry policies through `folder`, or straight from the learner to the samplers."""
        self._learning = learning
        self._generation = generation
        self._folder = folder
        self._max_canary_gap = max_canary_gap
        self._way = way
        self._streams = way != "shared_storage"
        self._kept: set[str] = set()
        self._canary: _Canary | None = None
        """Of the policy that the samplers hold; None where nobody can say any more."""
        self._canaries: dict[str, _Canary] = {}
        """Of the current policy and of those that are kept, by folder."""
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
                self._delete(uri)

    def save(self, policy: Policy) -> None:
        """See to it that the policy's folder is there; one that was streamed has none until somebody needs it."""
        if self._streams and policy == self.current:
            self._learning.save_policy(policy.uri, policy_version=policy.version)

    def publish(self, version: int, canary: TokenSequence) -> Policy:
        """Make the learner's current policy that of all samplers, as `version`.

        Raises Conflict POLICY_NOT_ATTESTED where a sampler holds other weights or scores the canary differently.
        """
        uri = f"{self._folder}/v{version:06d}"
        if self._streams:
            content_hash = self._learning.push_policy((), policy_version=version).content_hash
        else:
            content_hash = self._learning.save_policy(uri, policy_version=version).content_hash
        # Known before the policy is loaded: a sampler that comes back under way is held against it too.
        self._canaries[uri] = _Canary(version, canary, self._learning.score([canary])[0])
        previous, self.current = self.current, self._carry(uri, version, content_hash, saved=not self._streams)
        if previous is not None and previous.uri != uri and previous.uri not in self._kept:
            self._delete(previous.uri)
        return self.current

    def load(self, uri: str, version: int, content_hash: str) -> Policy:
        """Bring a saved policy to every sampler, and attest as `publish` does, where its canary is remembered."""
        return self._carry(uri, version, content_hash, saved=True)

    def _carry(self, uri: str, version: int, content_hash: str, *, saved: bool) -> Policy:
        """Bring a policy to every sampler, and compare the canary's log-probabilities where they are remembered."""
        self._canary = self._canaries.get(uri)
        self._bring(PolicyState(version, content_hash), uri, saved=saved)
        if self._canary is None:
            return Policy(version, uri, content_hash)
        gap = self._generation.attest(partial(self._attest, self._canary))
        worker_metrics.show_canary_gap(gap)
        return Policy(version, uri, content_hash, gap)

    def _delete(self, uri: str) -> None:
        self._canaries.pop(uri, None)
        delete_folder(uri)

    def _bring(self, policy: PolicyState, uri: str, *, saved: bool) -> None:
        def stream(client: GenerationClient) -> PolicyState:
            # Asked itself: what the learner says of a sampler is hearsay.
            held = client.describe().policy
            if held == policy:
                return held
            try:
                self._learning.push_policy(
                    [client.address], policy_version=policy.policy_version, policy_uri=uri if saved else ""
                )
            except Conflict as error:
                if error.reason != "POLICY_VERSION_OUT_OF_ORDER":
                    raise
                raise Unavailable(
                    f"the learner has gone on from policy {policy.policy_version}; the sampler at {client.address} "
                    "gets the next one",
                    reason="POLICY_GONE",
                ) from error
            return client.describe().policy

        if self._way == "broadcast":
            self._broadcast(policy, uri if saved else "")
        if self._streams:
            # After a broadcast this finds nothing to send, but at samplers that it did not reach.
            self._generation.hold(policy, stream)
        else:
            self._generation.load_policy(uri, policy_version=policy.policy_version, content_hash=policy.content_hash)

    def _broadcast(self, policy: PolicyState, saved_uri: str) -> None:
        """Bring the policy to all samplers at once; one that fails on the way fails all, and then gets it by itself."""
        try:
            self._learning.push_policy(
                self._generation.addresses(),
                policy_version=policy.policy_version,
                policy_uri=saved_uri,
                broadcast=True,
            )
        except (Transient, TimedOut, Conflict) as error:
            # A sampler that was started again holds less than it said a moment before.
            if isinstance(error, Conflict) and error.reason != "TENSORS_NOT_SENT":
                raise
            worker_metrics.BROKEN_BROADCASTS.inc()
            log.warning(
                "the broadcast of policy %d failed, each sampler gets a stream: %s", policy.policy_version, error
            )

    def _attest_returned(self, replica: GenerationClient, policy_version: int) -> None:
        """Let a sampler that came back score the canary too; one of a forgotten canary is known by hash."""
        canary = self._canary  # Another thread may load another policy meanwhile.
        if canary is not None and canary.policy_version == policy_version:
            self._attest(canary, replica)

    def _attest(self, canary: "_Canary", sampler: GenerationClient) -> float:
        """Return the mean gap between the learner's and the sampler's log-probabilities of the canary."""
        pairs = zip(sampler.score([canary.sequence])[0], canary.logprobs, strict=True)
        gap = sum(abs(one - other) for one, other in pairs) / len(canary.logprobs)
        if not gap <= self._max_canary_gap:  # A gap that is no number is no agreement either.
            worker_metrics.show_canary_gap(gap)
            raise Conflict(
                f"the sampler at {sampler.address} and the learner disagree on policy {canary.policy_version}: the "
                f"canary's log-probabilities differ by {gap:.3g} on average, above the limit "
                f"pinetune.policies.max_canary_gap of {self._max_canary_gap:g}",
                reason="POLICY_NOT_ATTESTED",
                policy_version=canary.policy_version,
                canary_gap=gap,
            )
        return gap
