"""Checks an order against the world: that its data sets are there and fit, its grader is right, its model exists.

What the order says by itself was checked before (`spec/`). Here it meets the rows, the grading service and the store.
All of it happens before a job exists: a job that cannot work is never queued.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import JsonValue

from pinetune.api.grading.v1.grading_pb2 import GraderSpec
from pinetune.jobs.base_models import resolve_model
from pinetune.jobs.call_reading import EVALUATION_FIELD, JOB_FIELD, refuse_unread_calls
from pinetune.jobs.dataset import Item, item_findings, read_items, refuse_missing_references, refuse_overlap
from pinetune.jobs.evaluation import EXTRACTING, extracts_answers
from pinetune.jobs.grader_check import GraderCheck, grader_spec, reference_keys, refuse_rows_without_named_keys
from pinetune.jobs.grader_gate import GRADER_TEST_FIELD, refuse_failing
from pinetune.jobs.spec import NANO, DatasetSettings, EvaluationOrder, JobSpec
from pinetune.jobs.store.database import Database
from pinetune.jobs.store.datasets import Dataset, get_dataset
from pinetune.pod.errors import InvalidInput, PinetuneError, Unsupported

TEST_FIELD = "pinetune.evaluation.test_file"
COMPARED_ON_VALIDATION = (
    "the final comparison is on the items of validation_file, by which the checkpoint is chosen, so that new items "
    "would show less of a gain; name others in pinetune.evaluation.test_file"
)


@dataclass(frozen=True)
class CheckedJob:
    """An order that can be done."""

    spec: JobSpec
    """The order, its grader normalised."""
    base_model_uri: str
    """Where its model is; empty for `nano`."""
    dataset_uris: Mapping[str, str]
    """Where its data sets are, by id."""
    remarks: tuple[str, ...]
    """What the user should know although the order is right."""


@dataclass(frozen=True)
class CheckedEvaluation:
    """A measurement that can be made."""

    order: EvaluationOrder
    """What to measure, its grader normalised."""
    base_model_uri: str
    """Where the model is."""
    dataset_uris: Mapping[str, str]
    """Where the data set is, by id."""


class OrderDesk:
    """Takes orders."""

    def __init__(self, database: Database, graders: GraderCheck) -> None:
        self._database = database
        self._graders = graders

    def check_job(self, spec: JobSpec) -> CheckedJob:
        """Check a job's order; raises InvalidInput, NotFound, Conflict or Unsupported that name the field."""
        _refuse_unsupported(spec)
        files = {
            "training_file": spec.training_file,
            "validation_file": spec.validation_file,
            TEST_FIELD: spec.pinetune.evaluation.test_file,
        }
        datasets = self._datasets({field: name for field, name in files.items() if name})
        with self._database.read() as connection:
            base_model_uri = resolve_model(connection, spec.model)
        items = _items(datasets, spec.pinetune.dataset.hiding(reference_keys(spec.grader or {})))
        training = items["training_file"]
        for field, rows in items.items():
            with _about(field):
                refuse_missing_references(rows, spec.pinetune.dataset)
        for field, rows in items.items():
            if field != "training_file":
                refuse_overlap(training, rows, spec.pinetune.dataset, field=field)
        if spec.pinetune.evaluation.test_file != spec.validation_file:
            # What a checkpoint was chosen by must not judge it, unless the order says so by naming one file twice.
            validation, test = items.get("validation_file", []), items.get(TEST_FIELD, [])
            same_prompts = spec.pinetune.dataset.model_copy(update={"refuse_answer_overlap": False})
            refuse_overlap(validation, test, same_prompts, field=TEST_FIELD, seen_in="validation_file")
        spec, remarks = _with_warm_up(spec, training)
        if spec.grader is not None:
            field = f"method.{spec.method.type}.grader"
            _refuse_vote(spec.grader, spec.pinetune.evaluation.vote_samples, "pinetune.evaluation.vote_samples")
            refuse_unread_calls(spec.grader, spec.pinetune.engine.parts_format, field=JOB_FIELD)
            spec = spec.with_grader(self._checked_grader(spec.grader, datasets, items, field))
            datasets |= self._tested(spec, field)
        if _compares_on_validation(spec):
            remarks += (COMPARED_ON_VALIDATION,)
        findings = item_findings(training, spec.pinetune.dataset)
        return CheckedJob(
            spec,
            base_model_uri,
            {dataset.dataset_id: dataset.uri for dataset in datasets.values()},
            (*remarks, *(f"training_file: {finding}" for finding in findings)),
        )

    def check_evaluation(self, order: EvaluationOrder) -> CheckedEvaluation:
        """Check what to measure; raises InvalidInput, NotFound, Conflict or Unsupported that name the field."""
        if order.model == NANO:
            raise InvalidInput(
                "model: `nano` is made by a job; name one, job:<job id>", reason="INVALID_MODEL", field="model"
            )
        datasets = self._datasets({"dataset_id": order.dataset_id})
        with self._database.read() as connection:
            base_model_uri = resolve_model(connection, order.model)
        items = _items(datasets, order.dataset.hiding(reference_keys(order.grader)))
        _refuse_vote(order.grader, order.vote_samples, "vote_samples")
        refuse_unread_calls(order.grader, order.engine.parts_format, field=EVALUATION_FIELD)
        grader = self._checked_grader(order.grader, datasets, items, "grader")
        uris = {dataset.dataset_id: dataset.uri for dataset in datasets.values()}
        return CheckedEvaluation(order.model_copy(update={"grader": grader}), base_model_uri, uris)

    def as_json(self, grader: GraderSpec, *, field: str) -> GraderSpec:
        """Return the grader in its JSON spelling; a typed one is spelt by the grading service."""
        if grader.WhichOneof("spelling") != "grader":
            return grader
        return grader_spec(self._graders.normalise(grader, item_keys=(), field=field))

    def _datasets(self, ids: Mapping[str, str]) -> dict[str, Dataset]:
        with self._database.read() as connection:
            return {field: get_dataset(connection, name, field=field) for field, name in ids.items()}

    def _tested(self, spec: JobSpec, field: str) -> dict[str, Dataset]:
        """Hold the grader to its labelled set; returns that set, and nothing where the order has none."""
        test = spec.pinetune.policies.grader_test
        if test is None or spec.grader is None:
            return {}
        name = f"{GRADER_TEST_FIELD}.file"
        datasets = self._datasets({name: test.file})
        with _about(name):
            refuse_failing(self._graders, spec.grader, test, datasets[name].uri, field=field)
        return datasets

    def _checked_grader(
        self,
        grader: Mapping[str, JsonValue],
        datasets: Mapping[str, Dataset],
        items: Mapping[str, list[Item]],
        field: str,
    ) -> dict[str, JsonValue]:
        # A file in two roles is looked at once, under the first field that names it.
        first: dict[str, str] = {}
        for name, dataset in datasets.items():
            first.setdefault(dataset.uri, name)
        for name in first.values():
            with _about(name):
                refuse_rows_without_named_keys(grader, items[name], field=field)
        common = set.intersection(*(set(dataset.common_keys) for dataset in datasets.values()))
        keys = sorted(common - {"messages", "tools"})
        checked = self._graders.normalise(grader_spec(grader), item_keys=keys, field=field)
        for name in first.values():
            with _about(name):
                self._graders.refuse_ungradable(checked, items[name], field=field)
        return checked


@contextmanager
def _about(field: str) -> Iterator[None]:
    """Put the field of a data set in front of what its rows are refused for."""
    try:
        yield
    except PinetuneError as error:
        if "field" not in error.metadata:
            error.message = f"{field}: {error.message}"
            error.metadata = {**error.metadata, "field": field}
        raise


def _items(datasets: Mapping[str, Dataset], settings: DatasetSettings) -> dict[str, list[Item]]:
    """Return the items of each data set, each file read once."""
    items: dict[str, list[Item]] = {}
    read: dict[str, list[Item]] = {}
    for field, dataset in datasets.items():
        if dataset.uri not in read:
            with _about(field):
                read[dataset.uri] = read_items(dataset.uri, settings)
        items[field] = read[dataset.uri]
    return items


def _refuse_unsupported(spec: JobSpec) -> None:
    """Refuse what the contract has and this release does not do: better now than ignored later."""
    if staleness := spec.pinetune.policies.max_staleness:
        raise Unsupported(
            "pinetune.policies.max_staleness must be 0 in this release, which samples from the newest policy only; it "
            f"is {staleness}",
            reason="STALENESS_UNSUPPORTED",
            field="pinetune.policies.max_staleness",
        )
    if spec.hyperparameters.reasoning_effort != "default":
        raise Unsupported(
            "reasoning_effort is not supported in this release: leave it out",
            reason="REASONING_EFFORT_UNSUPPORTED",
            field=f"method.{spec.method.type}.hyperparameters.reasoning_effort",
        )


def _compares_on_validation(spec: JobSpec) -> bool:
    settings = spec.pinetune.evaluation
    return spec.grader is not None and settings.final_comparison and settings.test_file == spec.validation_file


def _refuse_vote(grader: Mapping[str, JsonValue], vote_samples: int, field: str) -> None:
    """Refuse a vote without answers to count: every item's would come out wrong."""
    if vote_samples > 1 and not extracts_answers(grader):
        raise InvalidInput(
            f"{field} must be 1 with a grader of type {grader.get('type')}, which extracts no answer to vote on; it is "
            f"{vote_samples}. Those of type {', '.join(EXTRACTING)} do, alone or as a part of a multi grader",
            reason="GRADER_CANNOT_VOTE",
            field=field,
        )


def _with_warm_up(spec: JobSpec, training: list[Item]) -> tuple[JobSpec, tuple[str, ...]]:
    """Refuse a warm-up that was asked for and has nothing to imitate; one that was not asked for is left out."""
    warm_up = spec.pinetune.warm_up
    if warm_up.epochs == 0 or any(item.chain_of_thought for item in training):
        return spec, ()
    key = spec.pinetune.dataset.chain_of_thought
    if spec.method.type == "supervised" or "epochs" in warm_up.model_fields_set:
        raise InvalidInput(
            f"pinetune.warm_up.epochs is {warm_up.epochs}, but no row of training_file has the key `{key}`; name the "
            "key in pinetune.dataset.chain_of_thought, or set the epochs to 0",
            reason="NOTHING_TO_IMITATE",
            field="pinetune.warm_up.epochs",
        )
    return spec.without_warm_up(), (f"no row of training_file has the key `{key}`, so there is no warm-up",)
