"""What is told of replicas that are used as one: who is gone, who is there again or for the first time, what moved."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Lost:
    """A replica is gone."""

    replica: str
    """Its name."""
    why: str
    """What its last call ended with."""
    present_count: int
    """How many are left."""


@dataclass(frozen=True)
class Back:
    """A lost replica is back, holds the current policy and may be given work."""

    replica: str
    """Its name."""
    away_seconds: float
    """How long it was gone."""
    policy_version: int
    """What it holds."""
    present_count: int
    """How many there are now."""


@dataclass(frozen=True)
class Joined:
    """A replica that the set was resized to is there, holds the current policy and may be given work."""

    replica: str
    """Its name."""
    start_seconds: float
    """How long after the set was resized."""
    policy_version: int
    """What it holds."""
    present_count: int
    """How many there are now."""


@dataclass(frozen=True)
class Retired:
    """A replica that the set has no use for any more gets no work and is not looked after."""

    replica: str
    """Its name."""
    present_count: int
    """How many are left."""


@dataclass(frozen=True)
class GivenUp:
    """A replica beyond those that the set began with cannot be used; it is tried again at the next resize."""

    replica: str
    """Its name."""
    why: str
    """What was wrong with it."""
    present_count: int
    """How many are there without it."""


@dataclass(frozen=True)
class Moved:
    """Prompts that a replica did not answer were put back, to be sampled wherever there is room first."""

    replica: str
    """Which replica had them."""
    prompt_ids: tuple[str, ...]
    """Which they are."""
    reason: str
    """`lost`, `busy` or `slow`; a slow one may still answer first."""


News = Lost | Back | Joined | Retired | GivenUp | Moved
Tell = Callable[[News], None]
