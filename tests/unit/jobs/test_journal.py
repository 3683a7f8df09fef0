"""What a worker says of itself: phases in their order, whatever becomes of a heartbeat that is under way."""

import threading

import pytest
from tests.fakes.services import Calls, FakeJobs

from pinetune.api.jobs.v1 import jobs_pb2, worker_pb2
from pinetune.jobs.journal import Journal
from pinetune.jobs.usage import Usage
from pinetune.pod.errors import Unavailable


class SlowJobs(FakeJobs):
    """Lets a test hold up the first heartbeat, and keeps the phases in the order of their arrival."""

    def __init__(self) -> None:
        super().__init__(Calls())
        self.phases: list[jobs_pb2.JobPhase] = []
        self.came, self.go_on = threading.Event(), threading.Event()

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
        if not self.came.is_set():
            self.came.set()
            assert self.go_on.wait(10)
        self.phases.append(phase)
        return worker_pb2.WORKER_ACTION_CONTINUE


def test_a_heartbeat_that_is_under_way_does_not_arrive_after_the_phase_that_began_meanwhile() -> None:
    jobs = SlowJobs()
    journal = Journal(jobs, Usage())
    beating = threading.Thread(target=journal.beat)
    beating.start()
    assert jobs.came.wait(10)
    beginning = threading.Thread(target=journal.begin, args=(jobs_pb2.JOB_PHASE_TRAINING,))
    beginning.start()
    beginning.join(0.05)
    assert beginning.is_alive()
    jobs.go_on.set()
    for thread in (beating, beginning):
        thread.join(10)
    assert jobs.phases == [jobs_pb2.JOB_PHASE_PREPARING, jobs_pb2.JOB_PHASE_TRAINING]


class AbsentJobs(FakeJobs):
    """Is away, and says so."""

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
        raise Unavailable("nobody is there", reason="UNAVAILABLE")


def test_a_heartbeat_may_be_lost_and_the_beginning_of_a_phase_may_not() -> None:
    journal = Journal(AbsentJobs(Calls()), Usage())
    journal.beat()
    with pytest.raises(Unavailable, match="nobody is there"):
        journal.begin(jobs_pb2.JOB_PHASE_TRAINING)
