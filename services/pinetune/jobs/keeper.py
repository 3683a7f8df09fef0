"""Keeps checkpoints: states to go on from, and the policies that validation found best."""

from collections.abc import Iterable

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.client.learning import LearningClient
from pinetune.jobs.journal import Journal, Measurement
from pinetune.jobs.policies import Policies, Policy
from pinetune.pod import spans
from pinetune.pod.storage import copy_folder, delete_folder

NO_POLICY = Policy(0, "", "")


class Keeper:
    """The checkpoints of one job; the jobs service decides which policies stay."""

    def __init__(
        self,
        journal: Journal,
        learning: LearningClient,
        policies: Policies,
        *,
        artifacts_uri: str,
        kept: Iterable[wire.Checkpoint] = (),
    ) -> None:
        self._journal, self._learning, self._policies = journal, learning, policies
        self._artifacts_uri = artifacts_uri
        self._best: dict[str, wire.Checkpoint] = {}
        for checkpoint in kept:
            self._remember(checkpoint)

    def keep_policy(
        self,
        kind: wire.CheckpointKind,
        policy: Policy,
        step: int,
        warm_up_step: int,
        *,
        validation: Measurement | None = None,
    ) -> None:
        """Offer the policy as a checkpoint; what the service no longer keeps is deleted."""
        with spans.span("checkpoint", kind=_word(kind)):
            self._policies.save(policy)
            checkpoint, deletable = self._journal.commit_checkpoint(
                kind, step=step, warm_up_step=warm_up_step, policy=policy, validation=validation
            )
        self._remember(checkpoint)
        for uri in deletable:
            self._best.pop(uri, None)
        self._policies.drop(deletable)

    def keep_state(self, kind: wire.CheckpointKind, step: int, warm_up_step: int) -> None:
        """Write all that is needed to go on from here; older states are deleted once this one is recorded."""
        # The state before step 1 is not that of the last warm-up step: writing it must not touch the other.
        training = self._journal.phase == wire.JOB_PHASE_TRAINING
        name = f"step-{step:06d}" if training else f"warm-up-{warm_up_step:06d}"
        uri = f"{self._artifacts_uri}/states/{name}"
        with spans.span("checkpoint", kind=_word(kind)):
            with self._journal.waiting("learning to write a checkpoint"):
                # The order of the data is a function of the step, so the steps are the whole data position.
                position = f'{{"warm_up_step": {warm_up_step}, "step": {step}}}'
                self._learning.save_checkpoint(uri, data_position_json=position)
            policy = self._policies.current or NO_POLICY
            _, deletable = self._journal.commit_checkpoint(
                kind, step=step, warm_up_step=warm_up_step, policy=policy, state_uri=uri
            )
        for old in deletable:
            delete_folder(old)

    def best(self) -> Policy | None:
        """Return the kept policy with the highest validation reward, the earliest of equals; None where none is."""
        checkpoint = self._best_checkpoint()
        if checkpoint is None:
            return None
        return Policy(checkpoint.policy_version, checkpoint.policy_uri, checkpoint.content_hash)

    def best_id(self) -> str:
        """Return the id of the best checkpoint; empty where there is none."""
        checkpoint = self._best_checkpoint()
        return checkpoint.checkpoint_id if checkpoint else ""

    def give_back(self, policy: Policy) -> str:
        """Copy the policy to where the user takes it from; returns that folder."""
        self._policies.save(policy)
        model_uri = f"{self._artifacts_uri}/model"
        copy_folder(policy.uri, model_uri)
        return model_uri

    def _remember(self, checkpoint: wire.Checkpoint) -> None:
        if checkpoint.policy_uri:
            self._policies.keep(checkpoint.policy_uri)
        if checkpoint.kind == wire.CHECKPOINT_KIND_BEST:
            self._best[checkpoint.policy_uri] = checkpoint

    def _best_checkpoint(self) -> wire.Checkpoint | None:
        def rank(checkpoint: wire.Checkpoint) -> tuple[float, int, int]:
            step = (-checkpoint.warm_up_step_number, -checkpoint.step_number)
            return (checkpoint.validation.reward_mean, *step)

        return max(self._best.values(), key=rank, default=None)


def _word(kind: wire.CheckpointKind) -> str:
    return wire.CheckpointKind.Name(kind).removeprefix("CHECKPOINT_KIND_").lower()
