"""Reads from the jobs service what pages show: messages in, records out."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC

from google.protobuf.json_format import MessageToDict

from pinetune.api.grading.v1.grading_pb2 import GraderSpec
from pinetune.api.jobs.v1 import jobs_pb2, spec_pb2
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.jobs import JobsClient
from pinetune.client.rollout import GradeError
from pinetune.gateway.records import (
    Interval,
    JobHistory,
    JobRecord,
    PairedDifference,
    RolloutsPage,
    Run,
    RunTable,
    Sample,
    SampleChanges,
    SamplePair,
    StepRecord,
)
from pinetune.pod.errors import InvalidInput, NotFound

ROLLOUTS_PER_PAGE = 50
SHOWN_BETTER, SHOWN_WORSE, SHOWN_EQUAL = 4, 2, 2
"""How many validation items of each kind a report shows."""
RESULT, SUPERVISED_RESULT = "fine_tuned", "sft"
RUN_ORDER = {"base": 0, "warm_up": 1, SUPERVISED_RESULT: 2}
"""What stands before all others in a table of several jobs' runs, so that a difference is the later training's gain."""
DEFAULT_REFERENCE = "answer"


class Reader:
    """Asks one jobs service."""

    def __init__(self, client: JobsClient) -> None:
        self._client = client

    def jobs(self) -> list[JobRecord]:
        """Return all jobs, newest first."""
        return [_job(job, {}) for job in self._client.list_jobs()]

    def history(self, job_id: str) -> JobHistory:
        """Return a job with its steps and samples."""
        job = self._client.get_job(job_id)
        steps = list(self._client.list_steps(job_id))
        training = [step for step in steps if step.phase == jobs_pb2.JOB_PHASE_TRAINING]
        return JobHistory(
            job=_job(job, self._dataset_names(job.spec)),
            warm_up=[_step(step) for step in steps if step.phase == jobs_pb2.JOB_PHASE_WARM_UP],
            training=[_step(step) for step in training],
            changes=self._changes(job, [step.number for step in training if step.HasField("validation")]),
        )

    def runs_of(self, job_ids: Sequence[str]) -> RunTable:
        """Return the finished evaluations of jobs from the base model to the best trained one, job by job."""
        specs = {job_id: self._client.get_job(job_id).spec for job_id in job_ids}
        found = []
        for job_id, spec in specs.items():
            done = [e for e in self._client.list_evaluations(job_id) if e.state == jobs_pb2.JOB_STATE_SUCCEEDED]
            for each in done:
                # Every job calls its result fine_tuned; beside a reinforcement job's this one is the rival.
                if spec.method.type == "supervised" and each.order.name == RESULT:
                    each.order.name = SUPERVISED_RESULT
            found += sorted(done, key=lambda evaluation: evaluation.create_time.ToNanoseconds())
        found.sort(key=lambda evaluation: RUN_ORDER.get(evaluation.order.name, len(RUN_ORDER)))
        counts = Counter(spec.suffix for spec in specs.values())
        return self._table(found, specs, {i: s.suffix for i, s in specs.items() if s.suffix and counts[s.suffix] == 1})

    def runs(self, evaluation_ids: Sequence[str]) -> RunTable:
        """Return named evaluations side by side."""
        found = [self._client.get_evaluation(evaluation_id) for evaluation_id in evaluation_ids]
        job_ids = {each.order.job_id for each in found} - {""}
        return self._table(found, {job_id: self._client.get_job(job_id).spec for job_id in job_ids}, {})

    def rollouts(
        self,
        job_id: str,
        *,
        step: int | None,
        purpose: rollout_pb2.RolloutPurpose = rollout_pb2.ROLLOUT_PURPOSE_UNSPECIFIED,
        page_token: str = "",
    ) -> RolloutsPage:
        """Return one page of a job's rollouts, of one step or of all."""
        request = jobs_pb2.ListRolloutsRequest(
            job_id=job_id, step=step, purpose=purpose, page_size=ROLLOUTS_PER_PAGE, page_token=page_token
        )
        reference = _reference_key(self._client.get_job(job_id).spec)
        page = self._client.rollouts_page(request)
        return RolloutsPage([_sample(rollout, reference) for rollout in page.rollouts], page.next_page_token)

    def _dataset_names(self, spec: spec_pb2.JobSpec) -> dict[str, str]:
        """Return what people call the data sets of an order: file name and rows, by id."""
        names = {}
        for dataset_id in {spec.training_file, spec.validation_file, spec.pinetune.evaluation.test_file} - {""}:
            try:
                dataset = self._client.get_dataset(dataset_id)
            except NotFound:
                continue  # Deleted since; the id is shown instead.
            names[dataset_id] = f"{dataset.filename} ({dataset.row_count:,} rows)"
        return names

    def _changes(self, job: jobs_pb2.Job, validated: Sequence[int]) -> SampleChanges | None:
        if len(validated) < 2:
            return None
        first, last = (self._validation_samples(job, step) for step in (validated[0], validated[-1]))
        pairs = [SamplePair(first[item], last[item]) for item in first if item in last]
        changes = [(pair, change) for pair in pairs if (change := pair.change) is not None]
        better = [pair for pair, change in changes if change > 0]
        worse = [pair for pair, change in changes if change < 0]
        equal = [pair for pair, change in changes if change == 0]
        return SampleChanges(
            first_step=validated[0],
            last_step=validated[-1],
            item_count=len(changes),
            better_count=len(better),
            worse_count=len(worse),
            shown=[*better[:SHOWN_BETTER], *worse[:SHOWN_WORSE], *equal[:SHOWN_EQUAL]],
        )

    def _validation_samples(self, job: jobs_pb2.Job, step: int) -> dict[str, Sample]:
        """Return the first completion of each item at a step's validation."""
        purpose = rollout_pb2.ROLLOUT_PURPOSE_VALIDATION
        samples: dict[str, Sample] = {}
        for rollout in self._client.list_rollouts(job_id=job.job_id, step=step, purpose=purpose):
            samples.setdefault(rollout.item.item_id, _sample(rollout, _reference_key(job.spec)))
        return samples

    def _table(
        self,
        evaluations: Sequence[jobs_pb2.Evaluation],
        specs: Mapping[str, spec_pb2.JobSpec],
        job_words: Mapping[str, str],
    ) -> RunTable:
        """Return the evaluations side by side; `job_words` are what people call jobs, where that is no second one's."""
        evaluations = _distinct(evaluations)
        names = _names(evaluations, job_words)
        table = RunTable([_run(evaluation, names, specs) for evaluation in evaluations], [], "")
        differences = []
        try:
            for index in range(len(evaluations) - 1):
                comparison = self._client.compare_evaluations(e.evaluation_id for e in evaluations[index:])
                differences += [
                    _difference(each, names) for each in comparison.differences if each.statistic.name == table.headline
                ]
        except InvalidInput as error:
            return RunTable(table.runs, [], f"No paired differences: {error}.")
        return RunTable(table.runs, differences, "")


def _job(job: jobs_pb2.Job, dataset_names: dict[str, str]) -> JobRecord:
    running = job.state == jobs_pb2.JOB_STATE_RUNNING
    phase = jobs_pb2.JobPhase.Name(job.phase).removeprefix("JOB_PHASE_").lower().replace("_", "-")
    return JobRecord(
        job_id=job.job_id,
        suffix=job.spec.suffix,
        kind=job.spec.method.type,
        model=job.spec.model,
        state=jobs_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower(),
        phase=phase if running else "",
        waiting_for=job.waiting_for if running else "",
        error=f"{job.error.message} ({job.error.reason})" if job.HasField("error") else "",
        created=job.create_time.ToDatetime(UTC),
        step=job.step,
        total_steps=job.total_steps,
        warm_up_step=job.warm_up_step,
        total_warm_up_steps=job.total_warm_up_steps,
        facts=[(name, value) for name, value in _facts(job, dataset_names) if value],
        order_json=json.dumps(_order(job.spec), indent=2, ensure_ascii=False),
    )


def _facts(job: jobs_pb2.Job, dataset_names: dict[str, str]) -> list[tuple[str, str]]:
    spec, usage = job.spec, job.usage
    test = spec.pinetune.evaluation.test_file
    algorithm = spec.pinetune.algorithm.name
    return [
        ("Method", f"{spec.method.type}, {algorithm}" if algorithm and job.total_steps else spec.method.type),
        ("Base model", spec.model),
        ("Training data", dataset_names.get(spec.training_file, spec.training_file)),
        ("Validation data", dataset_names.get(spec.validation_file, spec.validation_file)),
        ("Test data", "the validation data" if test == spec.validation_file else dataset_names.get(test, test)),
        ("Grader", _grader_kind(spec)),
        ("Warm-up steps", _of(job.warm_up_step, job.total_warm_up_steps)),
        ("Training steps", _of(job.step, job.total_steps)),
        ("Seed", str(spec.seed)),
        ("Worker time", f"{usage.seconds / 60:,.1f} min" if usage.seconds else ""),
        ("Tokens sampled", f"{usage.sampled_token_count:,}" if usage.sampled_token_count else ""),
        ("Tokens trained on", f"{usage.trained_token_count:,}" if usage.trained_token_count else ""),
        ("Compute", f"{usage.compute_flops:.2e} floating-point operations" if usage.compute_flops else ""),
        ("Worker starts", str(job.attempt) if job.attempt > 1 else ""),
    ]


def _of(done: int, total: int) -> str:
    return f"{done:,} of {total:,}" if total else ""


def _grader(spec: spec_pb2.JobSpec) -> GraderSpec:
    method = spec.method
    return method.supervised.grader if method.type == "supervised" else method.reinforcement.grader


def _grader_kind(spec: spec_pb2.JobSpec) -> str:
    grader = _grader(spec)
    if grader.WhichOneof("spelling") == "grader":
        return (grader.grader.WhichOneof("kind") or "").replace("_", " ")
    return str(json.loads(grader.json).get("type", "")).replace("_", " ") if grader.json else ""


def _order(spec: spec_pb2.JobSpec) -> dict[str, object]:
    """Return the order as JSON values, its grader as an object and not as text inside of text."""
    order: dict[str, object] = MessageToDict(spec, preserving_proto_field_name=True)
    if _grader(spec).json:
        method = order["method"]
        assert isinstance(method, dict)
        method[spec.method.type]["grader"] = json.loads(_grader(spec).json)
    return order


def _step(step: jobs_pb2.Step) -> StepRecord:
    grades, update = step.training_grades, step.HasField("update")
    shown = step.validation
    return StepRecord(
        number=step.number,
        train_reward=step.train_reward_mean if step.HasField("train_reward_mean") else None,
        validation=Interval(shown.reward_mean, shown.reward_low, shown.reward_high)
        # Where nothing was graded the mean is no number.
        if step.HasField("validation") and shown.grades.graded_count
        else None,
        loss=step.warm_up.loss if step.HasField("warm_up") else None,
        kl=step.update.kl_to_reference if update else None,
        completion_tokens=step.completion_tokens_mean if update else None,
        truncated_share=step.truncated_share if update else None,
        ungraded_share=grades.ungraded_count / grades.sampled_count if grades.sampled_count else None,
        tokens_per_second=step.sampled_tokens_per_second or None,
    )


def _distinct(evaluations: Sequence[jobs_pb2.Evaluation]) -> list[jobs_pb2.Evaluation]:
    """Leave out a measurement of the same weights on the same items under the same name: the base of a second job."""
    kept: dict[tuple[str, str, str], jobs_pb2.Evaluation] = {}
    for each in evaluations:
        weights = each.content_hash or each.evaluation_id
        kept.setdefault((each.order.name, each.order.dataset_id, weights), each)
    return list(kept.values())


def _names(evaluations: Sequence[jobs_pb2.Evaluation], job_words: Mapping[str, str]) -> dict[str, str]:
    """Return what to call each evaluation, by id: its name, with its job where two have the same name."""
    counts = Counter(each.order.name for each in evaluations)
    names = {}
    for each in evaluations:
        job = job_words.get(each.order.job_id, each.order.job_id) or each.evaluation_id
        names[each.evaluation_id] = f"{each.order.name} ({job})" if counts[each.order.name] > 1 else each.order.name
    return names


def _run(evaluation: jobs_pb2.Evaluation, names: dict[str, str], specs: Mapping[str, spec_pb2.JobSpec]) -> Run:
    return Run(
        evaluation_id=evaluation.evaluation_id,
        name=names[evaluation.evaluation_id],
        job_id=evaluation.order.job_id,
        model=evaluation.order.model,
        dataset_id=evaluation.order.dataset_id,
        items=_items(evaluation.order.dataset_id, specs.get(evaluation.order.job_id)),
        sampled_count=evaluation.grades.sampled_count,
        ungraded_count=evaluation.grades.ungraded_count,
        statistics={each.name: Interval(each.value, each.low, each.high) for each in evaluation.statistics},
    )


def _items(dataset_id: str, spec: spec_pb2.JobSpec | None) -> str:
    """Return what a data set is to a job."""
    if spec is None:
        return ""
    files = {spec.pinetune.evaluation.test_file: "test", spec.validation_file: "validation"}
    return files.get(dataset_id, "")


def _difference(difference: jobs_pb2.Difference, names: dict[str, str]) -> PairedDifference:
    shown = difference.statistic
    return PairedDifference(
        name=names[difference.evaluation_id],
        baseline=names[difference.baseline_id],
        statistic=shown.name,
        interval=Interval(shown.value, shown.low, shown.high),
        better_count=difference.better_count,
        worse_count=difference.worse_count,
    )


def _reference_key(spec: spec_pb2.JobSpec) -> str:
    return spec.pinetune.dataset.reference or DEFAULT_REFERENCE


def _sample(rollout: rollout_pb2.Rollout, reference_key: str) -> Sample:
    graded = rollout.grade.WhichOneof("outcome") == "score"
    fields = json.loads(rollout.item.fields_json or "{}")
    reference = fields.get(reference_key, "")
    return Sample(
        completion_id=rollout.completion.completion_id,
        step=rollout.step,
        item_id=rollout.item.item_id,
        prompt="\n\n".join(message.content for message in rollout.item.messages),
        reference=reference if isinstance(reference, str) else json.dumps(reference, ensure_ascii=False),
        completion=rollout.completion.text,
        score=rollout.grade.score if graded else None,
        answer=rollout.grade.extracted_answer,
        error="" if graded else _error(rollout.grade.error),
        part_errors=[f"{name}: {_error(error)}" for name, error in sorted(rollout.grade.part_errors.items())],
    )


def _error(error: rollout_pb2.GradeError) -> str:
    return f"{GradeError.from_wire(error).error_class.lower()}: {error.detail}"
