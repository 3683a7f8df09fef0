"""A process that a launcher starts in place of a room's own: `python -m tests.fakes.worker_process <room>`.

As `worker` it commits three steps with a checkpoint after each. Its first attempt stops after step 2, to be killed
there. As any other room it waits until its stdin ends, as pods do.
"""

import sys
import time

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1 import worker_pb2
from pinetune.client.worker import WorkerClient
from pinetune.jobs.worker_config import WorkerSettings
from pinetune.pod.channel import connect
from pinetune.pod.config import load
from pinetune.pod.errors import Unavailable

LAST_STEP = 3


def work() -> None:
    """Do a job."""
    settings = load(WorkerSettings)
    with connect(settings.jobs_address) as channel:
        client = WorkerClient(channel, work_id=settings.work_id, attempt=settings.attempt)
        claim = claimed(client)
        for number in range(claim.job.step + 1, LAST_STEP + 1):
            client.commit_step(wire.Step(number=number, phase=wire.JOB_PHASE_TRAINING), wire.Usage())
            if settings.attempt == 1 and number == LAST_STEP - 1:
                print("attempt 1 waits to be killed", flush=True)
                time.sleep(600)
            client.commit_checkpoint(
                wire.Checkpoint(kind=wire.CHECKPOINT_KIND_LATEST, step_number=number, state_uri=f"/states/{number}")
            )
        client.finish(wire.JOB_STATE_SUCCEEDED, model_uri="/model")


def claimed(client: WorkerClient) -> worker_pb2.ClaimWorkResponse:
    """Claim the work from a service that may just be starting."""
    while True:
        try:
            return client.claim()
        except Unavailable:
            time.sleep(0.1)


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        work()
    else:
        sys.stdin.read()
