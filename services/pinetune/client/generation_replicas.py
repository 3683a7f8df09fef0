"""Several generation services that hold the same policy, used as one.

`spread.py` deals prompts out over them, `replica_set.py` looks after those that are lost or new. What is here keeps
them equal: a policy goes into all of them, and one that comes holds what the others hold before it gets work.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from pinetune.client.generation import EngineInfo, GenerationClient, PolicyState
from pinetune.client.prompts import Example, Prompt, Sampling, TokenSequence
from pinetune.client.replica_news import Tell
from pinetune.client.replica_set import Attendance, Replica, ReplicaSet
from pinetune.client.rollout import Completion
from pinetune.client.spread import Spread
from pinetune.pod import trace
from pinetune.pod.errors import (
    Cancelled,
    Conflict,
    Corrupt,
    InvalidInput,
    NotFound,
    TimedOut,
    Unavailable,
    Unsupported,
)

RETURN_SECONDS = 1200.0
"""How long is waited, with no replica left, for one to come back: a large model is read in that time, and a policy."""

LASTING = (Conflict, Corrupt, InvalidInput, NotFound, Unsupported)
"""Faults of a replica that would come again; a lack of room, say, is no reason to go without it."""

T = TypeVar("T")
Check = Callable[[GenerationClient, int], None]
"""Given a replica that came and the policy version that it now holds; raises where it must not be used."""


@dataclass(frozen=True)
class _Held:
    """What every replica is to hold, and how one gets it."""

    state: PolicyState
    bring: Callable[[GenerationClient], PolicyState]


class GenerationReplicas:
    """Generation services used as one."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        *,
        tell: Tell = lambda news: None,
        return_seconds: float = RETURN_SECONDS,
        count: int | None = None,
    ) -> None:
        """Use the first `count` of the replicas, all by default; `resize` changes that."""
        self._tell = tell
        self._members = ReplicaSet(
            replicas, ready=self._make_ready, tell=tell, return_seconds=return_seconds, count=count
        )
        self._held: _Held | None = None
        """None before the first policy is loaded: then it is what each was started with."""
        self._base: PolicyState | None = None
        self._check: Check = lambda client, policy_version: None

    def addresses(self) -> list[str]:
        """Return where the present replicas are, once there is one."""
        return [replica.client.address for replica in self._members.await_some()]

    def resize(self, count: int) -> None:
        """Use the first `count` replicas from now on; new ones get work once they hold the policy. See `ReplicaSet`."""
        self._members.resize(count)

    def attendance(self) -> Attendance:
        """Return which of those in use are there."""
        return self._members.attendance()

    def check_returned(self, check: Check) -> None:
        """Have `check` called for each replica that came, once it holds the policy and before it gets work."""
        self._check = check

    def tokenize(self, examples: Sequence[Example]) -> list[TokenSequence]:
        """Tokenise at the first replica that answers."""
        return self._ask_one(lambda replica: replica.client.tokenize(examples))

    def check_format(self, sampling: Sampling) -> None:
        """Raise as `GenerationClient.check_format`: what one replica cannot keep, none can."""
        self._ask_one(lambda replica: replica.client.check_format(sampling))

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, min_policy_version: int = 0
    ) -> list[list[Completion]]:
        """Sample as `GenerationClient.generate`, spread over the replicas by their load; see `Spread`.

        Raises TimedOut after the deadline of the whole, Unavailable NO_REPLICA_LEFT where all are gone and stay away.
        """
        return Spread(
            self._members, prompts, sampling, min_policy_version=min_policy_version, held=self._version, tell=self._tell
        ).run()

    def attest(self, gap_of: Callable[[GenerationClient], float]) -> float:
        """Return the largest gap of the present replicas. One that raises and can be done without is out."""
        return max(self._ask_each(lambda replica: gap_of(replica.client)))

    def load_policy(self, policy_uri: str, *, policy_version: int, content_hash: str) -> list[PolicyState]:
        """Load into every present replica and return what each then holds; a lost one loads it when it is back."""

        def bring(client: GenerationClient) -> PolicyState:
            return client.load_policy(policy_uri, policy_version=policy_version, content_hash=content_hash)

        return self.hold(PolicyState(policy_version, content_hash), bring)

    def hold(self, policy: PolicyState, bring: Callable[[GenerationClient], PolicyState]) -> list[PolicyState]:
        """Have `bring` make each present replica hold the policy; return what each then holds. As `load_policy`.

        Raises Conflict POLICY_NOT_ATTESTED where one holds another.
        """
        # One that comes meanwhile waits, and then loads this policy.
        with self._members.arrivals:
            self._held = _Held(policy, bring)
            states = self._try_each(lambda replica: _bring(replica, bring, policy))
        return states or [one.policy for one in self._members.await_some() if one.policy is not None]

    def describe(self) -> list[EngineInfo]:
        """Return what each present replica holds. Raises Conflict REPLICAS_DIFFER where that is not the same."""
        found = self._ask_each(lambda replica: replica.client.describe())
        if len({info.policy for info in found}) > 1:
            held = ", ".join(f"policy {one.policy.policy_version} ({one.policy.content_hash[:12]}…)" for one in found)
            raise Conflict(f"the generation replicas hold different policies: {held}", reason="REPLICAS_DIFFER")
        if self._held is None:
            self._base = found[0].policy
        return found

    def close(self) -> None:
        """Look after absent replicas no more."""
        self._members.close()

    @property
    def _version(self) -> int:
        return 0 if self._held is None else self._held.state.policy_version

    def _make_ready(self, replica: Replica) -> None:
        """Bring a replica that came to where the others are. Raises Conflict POLICY_NOT_ATTESTED."""
        if self._held is None:
            state = _bring(replica, lambda client: client.describe().policy, self._base)
        else:
            state = _bring(replica, self._held.bring, self._held.state)
        self._check(replica.client, state.policy_version)

    def _ask_one(self, use: Callable[[Replica], T]) -> T:
        """Return what the first replica says that answers."""
        while True:
            replica = self._members.await_some()[0]
            try:
                return use(replica)
            except Unavailable as error:
                self._members.lose(replica, error)

    def _ask_each(self, use: Callable[[Replica], T]) -> list[T]:
        """Return what each present replica answers, at least one."""
        while not (found := self._try_each(use)):
            self._members.await_some()
        return found

    def _try_each(self, use: Callable[[Replica], T]) -> list[T]:
        """Return what each present replica answers.

        One that cannot be reached, or does not answer in time, is lost; what else one raises is raised here, where the
        others cannot do without it.
        """

        def ask(replica: Replica) -> list[T]:
            try:
                return [use(replica)]
            except (Unavailable, TimedOut, Cancelled) as error:
                # Nobody here cancels: a pod that stops cuts off what outlives its grace.
                self._members.lose(replica, error)
            except LASTING as error:
                if not self._members.give_up(replica, error):
                    raise
            return []

        with ThreadPoolExecutor(max_workers=len(self._members.replicas)) as pool:
            return [answer for answers in pool.map(trace.carried(ask), self._members.present()) for answer in answers]


def _bring(
    replica: Replica, bring: Callable[[GenerationClient], PolicyState], expected: PolicyState | None
) -> PolicyState:
    """Have `bring` make the replica hold a policy. Raises Conflict where it then holds another than is expected."""
    state = bring(replica.client)
    if expected is not None and state != expected:
        raise Conflict(
            f"{replica.name} was given policy {expected.policy_version} ({expected.content_hash[:12]}…) and holds "
            f"policy {state.policy_version} ({state.content_hash[:12]}…)",
            reason="POLICY_NOT_ATTESTED",
            policy_version=expected.policy_version,
            held_version=state.policy_version,
        )
    replica.policy = state
    return state
