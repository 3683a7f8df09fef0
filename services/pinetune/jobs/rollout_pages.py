"""Finds rollouts in the files of a job or an evaluation: page by page, or one by its id."""

from collections.abc import Sequence
from dataclasses import dataclass

from pinetune.jobs.rollout_files import Rollout, read_rollouts
from pinetune.jobs.store.history import RolloutFile
from pinetune.pod.errors import NotFound


@dataclass(frozen=True)
class RolloutPage:
    """Some rollouts, in the order of their sampling."""

    rollouts: Sequence[Rollout]
    """The page."""
    next_position: tuple[int, int] | None
    """(file, row) where the next page begins; None at the end."""


def rollout_page(files: Sequence[RolloutFile], *, position: tuple[int, int], size: int) -> RolloutPage:
    """Return the page that begins at row `position[1]` of the file numbered `position[0]`, or of the next one."""
    found: list[Rollout] = []
    row = position[1]
    for file in files:
        if file.number < position[0]:
            continue
        rollouts = read_rollouts(file.uri)
        start = row if file.number == position[0] else 0
        part = rollouts[start : start + size - len(found)]
        found += part
        end = start + len(part)
        if len(found) == size:
            if end < len(rollouts):
                return RolloutPage(found, (file.number, end))
            later = [other.number for other in files if other.number > file.number]
            return RolloutPage(found, (later[0], 0) if later else None)
    return RolloutPage(found, None)


def find_rollout(files: Sequence[RolloutFile], completion_id: str) -> Rollout:
    """Return one rollout, newest files searched first; raises NotFound."""
    for file in reversed(files):
        for rollout in read_rollouts(file.uri):
            if rollout.completion.completion_id == completion_id:
                return rollout
    raise NotFound(
        f"there is no rollout of completion {completion_id!r}",
        reason="ROLLOUT_NOT_FOUND",
        completion_id=completion_id,
    )
