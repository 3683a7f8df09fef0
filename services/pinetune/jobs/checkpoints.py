"""Which checkpoints stay: the newest state to go on from, the best policies by validation, the warmed-up one always.

The base policy is no checkpoint of a job: it is the model that the job began with.
"""

import secrets

from sqlalchemy.engine import Connection

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.jobs.moments import timestamp
from pinetune.jobs.store import history
from pinetune.jobs.store.history import CheckpointRow
from pinetune.jobs.store.works import Work
from pinetune.pod.errors import InvalidInput

STATES = (wire.CHECKPOINT_KIND_LATEST, wire.CHECKPOINT_KIND_PAUSE)
"""Kinds to go on from; a newer one replaces all older ones."""


def keep(
    connection: Connection, work: Work, checkpoint: wire.Checkpoint, *, model_name: str, keep_best: int, moment: int
) -> tuple[wire.Checkpoint, list[str], bool]:
    """Record a checkpoint; returns it with its id, the folders that nothing needs any more, and whether it is news.

    The same kind and step again replaces the former record: a job that goes on from a checkpoint makes it anew, in
    the same folder. Where the new one is not among the best it is recorded and dropped in one go.
    """
    _check(checkpoint)
    former = history.find_checkpoint(
        connection,
        work.work_id,
        kind=checkpoint.kind,
        step=checkpoint.step_number,
        warm_up_step=checkpoint.warm_up_step_number,
    )
    recorded = wire.Checkpoint()
    recorded.CopyFrom(checkpoint)
    recorded.checkpoint_id = former.checkpoint_id if former else f"ftckpt-{secrets.token_hex(10)}"
    recorded.job_id = work.work_id
    recorded.fine_tuned_model_checkpoint = f"{model_name}:ckpt-step-{_position(checkpoint)}"
    recorded.create_time.CopyFrom(timestamp(moment))
    _put(connection, work, recorded)
    dropped = _superseded(connection, work.work_id, checkpoint.kind, keep_best)
    history.delete_checkpoints(connection, dropped)
    needed = {
        uri for row in history.list_checkpoints(connection, work.work_id) for uri in (row.policy_uri, row.state_uri)
    }
    deletable = {uri for row in dropped for uri in (row.policy_uri, row.state_uri)} - needed - {""}
    if former is not None:
        deletable |= {former.policy_uri, former.state_uri} - needed - {""}
    return recorded, sorted(deletable), former is None or not _alike(former, recorded)


def sentence(checkpoint: wire.Checkpoint) -> str:
    """Return in one sentence what was kept."""
    where = f"step {checkpoint.step_number}"
    if not checkpoint.step_number and checkpoint.warm_up_step_number:
        where = f"warm-up step {checkpoint.warm_up_step_number}"
    if checkpoint.kind == wire.CHECKPOINT_KIND_BEST:
        return f"the policy after {where} is kept, validation reward {checkpoint.validation.reward_mean:.4g}"
    what = {
        wire.CHECKPOINT_KIND_LATEST: "the state",
        wire.CHECKPOINT_KIND_PAUSE: "the state, for the pause,",
        wire.CHECKPOINT_KIND_BASE: "the base policy",
        wire.CHECKPOINT_KIND_WARM_UP: "the warmed-up policy",
    }[checkpoint.kind]
    return f"{what} after {where} is kept"


def _check(checkpoint: wire.Checkpoint) -> None:
    if checkpoint.kind == wire.CHECKPOINT_KIND_UNSPECIFIED:
        raise InvalidInput("checkpoint.kind is required", reason="INVALID_CHECKPOINT", field="checkpoint.kind")
    if checkpoint.kind in STATES and not checkpoint.state_uri:
        raise InvalidInput(
            "checkpoint.state_uri is required for a checkpoint to go on from",
            reason="INVALID_CHECKPOINT",
            field="checkpoint.state_uri",
        )
    if checkpoint.kind not in STATES and not checkpoint.policy_uri:
        raise InvalidInput(
            "checkpoint.policy_uri is required for a policy that is kept",
            reason="INVALID_CHECKPOINT",
            field="checkpoint.policy_uri",
        )
    if checkpoint.kind == wire.CHECKPOINT_KIND_BEST and not checkpoint.HasField("validation"):
        raise InvalidInput(
            "checkpoint.validation is required for a policy kept for its validation reward",
            reason="INVALID_CHECKPOINT",
            field="checkpoint.validation",
        )


def _position(checkpoint: wire.Checkpoint) -> str:
    """Return the step for the checkpoint's name; one of the warm-up says so."""
    return str(checkpoint.step_number) if checkpoint.step_number else f"0-{checkpoint.warm_up_step_number}"


def _put(connection: Connection, work: Work, checkpoint: wire.Checkpoint) -> None:
    reward = checkpoint.validation.reward_mean if checkpoint.HasField("validation") else None
    history.put_checkpoint(
        connection,
        {
            "checkpoint_id": checkpoint.checkpoint_id,
            "work_id": work.work_id,
            "kind": checkpoint.kind,
            "step": checkpoint.step_number,
            "warm_up_step": checkpoint.warm_up_step_number,
            "event_number": work.last_event_number,
            "resumable": checkpoint.kind in STATES,
            "policy_uri": checkpoint.policy_uri,
            "state_uri": checkpoint.state_uri,
            "model_name": checkpoint.fine_tuned_model_checkpoint if checkpoint.policy_uri else "",
            # A reward that is no number loses to every other.
            "reward": reward if reward == reward else None,
            "checkpoint_message": checkpoint.SerializeToString(),
        },
    )


def _superseded(connection: Connection, job_id: str, kind: int, keep_best: int) -> list[CheckpointRow]:
    """Return the checkpoints that a new one of this kind leaves without a reason to stay."""
    rows = history.list_checkpoints(connection, job_id)
    if kind in STATES:
        return [row for row in rows if row.kind in STATES][1:]
    if kind != wire.CHECKPOINT_KIND_BEST:
        return []
    best = sorted((row for row in rows if row.kind == kind), key=_rank)
    return best[keep_best:]


def _rank(row: CheckpointRow) -> tuple[bool, float, int, int]:
    """Sort by the reward, best first; of equals the earlier step is the better one."""
    return row.reward is None, -(row.reward or 0.0), row.warm_up_step, row.step


def _alike(former: CheckpointRow, recorded: wire.Checkpoint) -> bool:
    before, after = wire.Checkpoint.FromString(former.checkpoint_message), wire.Checkpoint()
    after.CopyFrom(recorded)
    for message in (before, after):
        message.ClearField("create_time")
        message.ClearField("usage")
    return before == after
