"""Services of one job in memory: they speak the clients' interface and remember what they were asked."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pinetune.api.jobs.v1 import jobs_pb2, worker_pb2
from pinetune.api.learning.v1 import learning_pb2
from pinetune.client.generation import EngineInfo, GenerationClient, PolicyState
from pinetune.client.generation_replicas import GenerationReplicas
from pinetune.client.grading import GradedBatch, GradingClient
from pinetune.client.learning import LearnerState, LearningClient, SavedPolicy, Trajectory
from pinetune.client.prompts import Example, Prompt, Sampling, TokenSequence
from pinetune.client.rollout import Completion, FinishReason, Grade, GradeError, PolicySpan, Sampled
from pinetune.client.worker import WorkerClient
from pinetune.pod.errors import Conflict, PinetuneError

PARAMETER_COUNT = 1000


class Killed(BaseException):
    """The worker was killed; no error, nothing may catch it."""


class Calls(list[str]):
    """What was asked, in order; one of them may be the worker's last."""

    points = 0
    """How many places were reached where a worker may be killed: calls, and commits of checkpoints."""
    kill_at = 0
    """At which of them it is killed, before anything is done there; 0 for none."""

    def append(self, call: str) -> None:
        """Remember the call."""
        self.reach(call)
        super().append(call)

    def reach(self, point: str) -> None:
        """Be killed here where that is wanted."""
        self.points += 1
        if self.points == self.kill_at:
            raise Killed(point)


class FakeLearning(LearningClient):
    """Counts steps; its log-probabilities name the policy, so that attestation has something to see."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.state = LearnerState(0, 0, 0, False, PARAMETER_COUNT)
        self.rewards_seen: list[list[float]] = []
        self.checkpoints: dict[str, tuple[LearnerState, int]] = {}
        self.weights = 0
        """Grows with every step that changes weights."""

    def open(self, request: learning_pb2.OpenRequest) -> LearnerState:
        """Begin at nothing, whatever was done before: a successor's learner is a new process."""
        self.calls.append("open")
        self.state, self.weights = LearnerState(0, 0, 0, False, PARAMETER_COUNT), 0
        return self.state

    def warm_up(self, step: int, sequences: Sequence[TokenSequence]) -> learning_pb2.WarmUpMetrics:
        """Do a step that must be the next one."""
        self.calls.append(f"warm_up {step}")
        self._must_follow(self.state.warm_up_step, step)
        self._change(warm_up_step=step)
        return learning_pb2.WarmUpMetrics(loss=1.0 / step, token_count=10)

    def freeze_reference(self) -> LearnerState:
        """Freeze."""
        self.calls.append("freeze")
        self._change(reference_frozen=True, weights=False)
        return self.state

    def update(self, step: int, trajectories: Sequence[Trajectory]) -> learning_pb2.UpdateMetrics:
        """Do a step that must be the next one."""
        self.calls.append(f"update {step}")
        self._must_follow(self.state.update_step, step)
        self.rewards_seen.append([trajectory.reward for trajectory in trajectories])
        self._change(update_step=step)
        return learning_pb2.UpdateMetrics(token_count=20)

    def score(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """Name the weights."""
        return [[-float(self.weights)] * len(sequence.token_ids) for sequence in sequences]

    def save_policy(self, policy_uri: str, *, policy_version: int) -> SavedPolicy:
        """Write a folder that holds its weights; like the real one, refuse a version that is not the next."""
        wanted = self.state.policy_version + self.state.weights_changed
        if policy_version != wanted:
            raise Conflict(f"policy {policy_version}, not {wanted}", reason="POLICY_VERSION_OUT_OF_ORDER")
        Path(policy_uri).mkdir(parents=True, exist_ok=True)
        (Path(policy_uri) / "weights").write_text(str(self.weights))
        self._change(policy_version=policy_version, weights_changed=False, weights=False)
        return SavedPolicy(policy_version, f"hash-{self.weights}", 0.0)

    def save_checkpoint(self, checkpoint_uri: str, *, data_position_json: str) -> None:
        """Remember the state."""
        self.calls.append(f"checkpoint {self.state.warm_up_step}/{self.state.update_step}")
        Path(checkpoint_uri).mkdir(parents=True, exist_ok=True)
        self.checkpoints[checkpoint_uri] = (self.state, self.weights)

    def restore_checkpoint(self, checkpoint_uri: str) -> tuple[LearnerState, str]:
        """Go back to the state."""
        self.state, self.weights = self.checkpoints[checkpoint_uri]
        self.calls.append(f"restore {self.state.warm_up_step}/{self.state.update_step}")
        return self.state, ""

    def _change(self, *, weights: bool = True, **fields: int) -> None:
        self.weights += weights
        changed = {"weights_changed": True} if weights else {}
        self.state = LearnerState(**{**vars(self.state), **changed, **fields})

    @staticmethod
    def _must_follow(last: int, step: int) -> None:
        if step != last + 1:
            raise Conflict(f"step {step} after {last}", reason="STEP_OUT_OF_ORDER")


class FakeGeneration(GenerationReplicas):
    """Answers every prompt with the version of its policy."""

    def __init__(self, calls: Calls, learning: FakeLearning) -> None:
        self.calls, self.learning = calls, learning
        self.held = PolicyState(0, "hash-0")
        self.stale_weights = False
        """True: it says that it loaded, and keeps its old weights."""
        self._weights = 0
        self.max_model_tokens = 4096
        self.tokenized: list[Example] = []
        """All that it was asked to tokenise."""
        self.format_refusal: PinetuneError | None = None
        """What it says of any shape of answers."""

    def tokenize(self, examples: Sequence[Example]) -> list[TokenSequence]:
        """One token a word."""
        self.tokenized += examples
        return [
            TokenSequence(
                tuple(range(sum(len(message.content.split()) for message in example.messages))),
                tuple(range(len(example.answer.split()))),
            )
            for example in examples
        ]

    def check_format(self, sampling: Sampling) -> None:
        """Refuse what it was told to."""
        if self.format_refusal is not None:
            raise self.format_refusal

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, min_policy_version: int = 0
    ) -> list[list[Completion]]:
        """Answer with the version."""
        if self.held.policy_version < min_policy_version:
            raise Conflict("too old", reason="POLICY_TOO_OLD")
        self.calls.append(f"generate {prompts[0].prompt_id.rsplit('-', 1)[0]} x{len(prompts)}x{sampling.sample_count}")
        span = (PolicySpan(self.held.policy_version, 2),)
        return [
            [
                Completion(
                    f"{prompt.prompt_id}-{index}",
                    index,
                    f"policy {self.held.policy_version}",
                    (1, 2),
                    (3, 4),
                    (-0.5, -0.5),
                    FinishReason.STOP,
                    span,
                    sampled=Sampled("generation-0", time.time(), time.time()),
                )
                for index in range(sampling.sample_count)
            ]
            for prompt in prompts
        ]

    def attest(self, gap_of: Callable[[GenerationClient], float]) -> float:
        """Let its one sampler be compared."""
        return gap_of(FakeSampler(self._weights))

    def load_policy(self, policy_uri: str, *, policy_version: int, content_hash: str) -> list[PolicyState]:
        """Hold the policy."""
        self.calls.append(f"load v{policy_version}")
        if not self.stale_weights:
            self._weights = int((Path(policy_uri) / "weights").read_text())
        self.held = PolicyState(policy_version, content_hash)
        return [self.held]

    def describe(self) -> list[EngineInfo]:
        """Say what it holds."""
        return [EngineInfo(self.held, PARAMETER_COUNT, self.max_model_tokens)]


class FakeSampler(GenerationClient):
    """Scores with the weights it holds."""

    def __init__(self, weights: int) -> None:
        self.address = "generation-0:50051"
        self._weights = weights

    def score(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """Name the weights."""
        return [[-float(self._weights)] * len(sequence.token_ids) for sequence in sequences]


class FakeGrading(GradingClient):
    """Scores by the policy version in the text: `score_of[version]`, an error where that is None."""

    def __init__(self, score_of: dict[int, float | None]) -> None:
        self.score_of = score_of
        self.every_other_fails = False
        """True: of the training completions every second one has no grade."""
        self.failing_validations: set[int] = set()
        """Policy versions whose measurements have no grades."""

    def grade(
        self,
        grader_json: str,
        *,
        items_json: Sequence[str],
        output_texts: Sequence[str],
        item_indexes: Sequence[int],
        finish_reasons: Sequence[FinishReason] = (),
        samples_json: Sequence[str] = (),
        fresh_answers: bool = False,
        deadline_seconds: float = 0.0,
    ) -> GradedBatch:
        """Score."""
        scores = [self.score(text) for text in output_texts]
        error = GradeError("OTHER", "the grader is down")
        measuring = items_json[0].startswith('{"purpose": "measuring"')
        if self.every_other_fails and not measuring:
            scores[1::2] = [None] * len(scores[1::2])
        if measuring and int(output_texts[0].split()[1]) in self.failing_validations:
            scores = [None] * len(scores)
        return GradedBatch(tuple(Grade(error=error) if s is None else Grade(score=s) for s in scores), {})

    def score(self, output_text: str) -> float | None:
        """Return the score of one answer."""
        return self.score_of.get(int(output_text.split()[1]), 0.0)


class FakeJobs(WorkerClient):
    """Keeps what the worker reports."""

    def __init__(self, calls: Calls, *, keep_best: int = 1) -> None:
        self.calls, self.keep_best = calls, keep_best
        self.steps: list[jobs_pb2.Step] = []
        self.checkpoints: list[jobs_pb2.Checkpoint] = []
        self.evaluations: list[jobs_pb2.Evaluation] = []
        self.messages: list[str] = []
        self._step_count = 0
        self.usages: list[jobs_pb2.Usage] = []
        self.wish_after: dict[tuple[int, int], worker_pb2.WorkerAction] = {}
        """What the user wants once (phase, step) is committed."""
        self.at_heartbeat: Callable[[jobs_pb2.JobPhase], None] = lambda phase: None
        """Called with the phase of each heartbeat."""

    def heartbeat(
        self,
        *,
        waiting_for: str,
        phase: jobs_pb2.JobPhase,
        total_steps: int,
        total_warm_up_steps: int,
        wanted_replicas: int = 0,
        patient: bool = False,
    ) -> worker_pb2.WorkerAction:
        """Keep the phase, where the worker waits until it is known."""
        self.at_heartbeat(phase)
        if patient:
            self.calls.append(f"begin {_phase_word(phase)}")
        return self._wish()

    def commit_step(self, step: jobs_pb2.Step, usage: jobs_pb2.Usage) -> worker_pb2.WorkerAction:
        """Keep the step."""
        self.calls.append(f"commit {_phase_word(step.phase)} {step.number}")
        self.steps.append(step)
        self.usages.append(usage)
        return self._wish()

    def commit_checkpoint(self, checkpoint: jobs_pb2.Checkpoint) -> tuple[jobs_pb2.Checkpoint, list[str]]:
        """Keep the best ones, the newest state and whatever else."""
        self.calls.reach(f"commit {checkpoint.state_uri or checkpoint.policy_uri}")
        checkpoint.checkpoint_id = f"ckpt-{len(self.checkpoints)}"
        self.checkpoints.append(checkpoint)
        if checkpoint.state_uri:
            self._step_count = len(self.steps)
        best = [one for one in self.checkpoints if one.kind == jobs_pb2.CHECKPOINT_KIND_BEST]
        best.sort(key=lambda one: (-one.validation.reward_mean, one.step_number))
        states = [one for one in self.checkpoints if one.state_uri]
        gone = best[self.keep_best :] + (states[:-1] if checkpoint.state_uri else [])
        self.checkpoints = [one for one in self.checkpoints if one not in gone]
        needed = {one.policy_uri for one in self.checkpoints} | {one.state_uri for one in self.checkpoints}
        return checkpoint, [uri for one in gone for uri in (one.policy_uri, one.state_uri) if uri not in needed]

    def take_back(self) -> jobs_pb2.Checkpoint:
        """Forget the steps after the newest state, and return that; an empty one where there is none."""
        self.steps, self.usages = self.steps[: self._step_count], self.usages[: self._step_count]
        states = [one for one in self.checkpoints if one.state_uri]
        return states[-1] if states else jobs_pb2.Checkpoint()

    def append_events(self, events: Sequence[jobs_pb2.Event], *, first_number: int = 0, patient: bool = False) -> None:
        """Keep what they say."""
        self.messages += [event.message for event in events]

    def commit_evaluation(self, evaluation: jobs_pb2.Evaluation) -> jobs_pb2.Evaluation:
        """Keep the evaluation."""
        self.evaluations.append(evaluation)
        return evaluation

    def _wish(self) -> worker_pb2.WorkerAction:
        last = (self.steps[-1].phase, self.steps[-1].number) if self.steps else (0, 0)
        return self.wish_after.get(last, worker_pb2.WORKER_ACTION_CONTINUE)


def _phase_word(phase: jobs_pb2.JobPhase) -> str:
    return jobs_pb2.JobPhase.Name(phase).removeprefix("JOB_PHASE_").lower()
