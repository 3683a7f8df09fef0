"""Names of trained models are names: no folders, and as many colons as the shape has."""

import pytest

from pinetune.api.jobs.v1.spec_pb2 import JobSpec
from pinetune.jobs.model_names import model_name


@pytest.mark.parametrize(
    ("model", "suffix", "name"),
    [
        ("nano", "", "ft:nano::ftjob-2"),
        ("nano", "sums", "ft:nano:sums:ftjob-2"),
        ("org/model", "", "ft:org/model::ftjob-2"),
        ("/models/my model/", "", "ft:my model::ftjob-2"),
        ("s3://bucket/models/base", "", "ft:base::ftjob-2"),
        ("job:ftjob-1", "", "ft:ftjob-1::ftjob-2"),
        ("ft:nano:sums:ftjob-1", "", "ft:nano::ftjob-2"),
    ],
)
def test_a_model_is_named_after_what_it_came_from(model: str, suffix: str, name: str) -> None:
    assert model_name(JobSpec(model=model, suffix=suffix), "ftjob-2") == name
