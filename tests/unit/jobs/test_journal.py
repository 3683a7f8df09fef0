"""What a worker says of itself: phases in their order, whatever becomes of a heartbeat that is under way."""

import threading

import pytest
from tests.fakes.services import Calls, FakeJobs

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.jobs.journal import Journal
from pinetune.jobs.usage import Usage
from pinetune.pod.errors import Unavailable


@pytest.fixture
def jobs() -> FakeJobs:
    return FakeJobs(Calls())


def test_a_heartbeat_that_is_under_way_does_not_arrive_after_the_phase_that_began_meanwhile(jobs: FakeJobs) -> None:
    journal, phases = Journal(jobs, Usage()), list[jobs_pb2.JobPhase]()
    came, go_on = threading.Event(), threading.Event()

    def hold_up_the_first(phase: jobs_pb2.JobPhase) -> None:
        if not came.is_set():
            came.set()
            assert go_on.wait(10)
        phases.append(phase)

    jobs.at_heartbeat = hold_up_the_first
    beating = threading.Thread(target=journal.beat)
    beating.start()
    assert came.wait(10)
    beginning = threading.Thread(target=journal.begin, args=(jobs_pb2.JOB_PHASE_TRAINING,))
    beginning.start()
    beginning.join(0.05)
    assert beginning.is_alive()
    go_on.set()
    for thread in (beating, beginning):
        thread.join(10)
    assert phases == [jobs_pb2.JOB_PHASE_PREPARING, jobs_pb2.JOB_PHASE_TRAINING]


def test_a_heartbeat_may_be_lost_and_the_beginning_of_a_phase_may_not(jobs: FakeJobs) -> None:
    def be_away(phase: jobs_pb2.JobPhase) -> None:
        raise Unavailable("nobody is there", reason="UNAVAILABLE")

    jobs.at_heartbeat = be_away
    journal = Journal(jobs, Usage())
    journal.beat()
    with pytest.raises(Unavailable, match="nobody is there"):
        journal.begin(jobs_pb2.JOB_PHASE_TRAINING)
