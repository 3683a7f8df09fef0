from collections.abc import Iterator

import grpc
import pytest
from tests.fakes import history
from tests.fakes.jobs_service import FakeJobs, serving

from pinetune.client.jobs import JobsClient
from pinetune.gateway.reading import Reader
from pinetune.gateway.records import JobHistory


@pytest.fixture
def jobs() -> FakeJobs:
    """A jobs service with a reinforcement job `ftjob-rl` and a supervised job `ftjob-sft`."""
    fake = FakeJobs()
    fake.add(history.reinforcement("ftjob-rl", step_count=10, warm_up_count=3, eval_interval=5))
    fake.add(history.supervised("ftjob-sft"))
    return fake


@pytest.fixture
def reader(jobs: FakeJobs) -> Iterator[Reader]:
    with serving(jobs) as address, grpc.insecure_channel(address) as channel:
        yield Reader(JobsClient(channel, patience_seconds=1))


@pytest.fixture
def trained(reader: Reader) -> JobHistory:
    return reader.history("ftjob-rl")
