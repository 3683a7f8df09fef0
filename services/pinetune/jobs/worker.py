"""The process that does one job or one evaluation: `python -m pinetune.jobs.worker`, started by a launcher.

It holds nothing that the work needs again: killed at any time, its successor goes on from the last checkpoint. It ends
in one of three ways:

    done, cancelled, paused              reported; exit code 0
    a fault that would come again        reported as FAILED with reason and sentence; exit code 0
    a fault that may pass, or is ours    not reported; exit code 1, and the jobs service starts a successor
"""

import logging
import sys
import threading
from collections.abc import Callable, Sequence

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.client.worker import WorkerClient
from pinetune.jobs.journal import Journal, StopAsked
from pinetune.jobs.measuring import measure_model
from pinetune.jobs.services import Services
from pinetune.jobs.training import train
from pinetune.jobs.usage import Usage
from pinetune.jobs.worker_config import WorkerSettings
from pinetune.pod import trace
from pinetune.pod.channel import connect
from pinetune.pod.config import load
from pinetune.pod.errors import Conflict, InvalidInput, NotFound, PinetuneError, Unsupported
from pinetune.pod.server import Pod, PodSettings, RegisteredService, run

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2.0
LASTING = (InvalidInput, Conflict, NotFound, Unsupported)
"""Errors that would come again however often the work is started."""
OF_THIS_ATTEMPT = ("STALE_ATTEMPT", "STREAM_REPLACED", "STREAM_OUTDATED")
"""Reasons of those among them that only this attempt meets: another one, or another learner, is at work."""


class Worker:
    """One piece of work, in a thread beside the pod's server."""

    def __init__(self, pod: Pod, settings: WorkerSettings) -> None:
        self.exit_code = 1
        """What the process ends with; 0 once the end is reported."""
        self._pod, self._settings = pod, settings
        self._usage = Usage()
        self._client = WorkerClient(connect(settings.jobs_address), work_id=settings.work_id, attempt=settings.attempt)
        self._journal = Journal(self._client, self._usage)
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin."""
        # Daemons: a pod that is told to stop does not wait for the end of the job.
        threading.Thread(target=self._work, name="work", daemon=True).start()
        threading.Thread(
            target=beat_until, args=(self._ended, self._journal.beat), name="heartbeat", daemon=True
        ).start()

    def _work(self) -> None:
        try:
            with trace.within(job=self._settings.work_id):
                self._work_to_an_end()
            self.exit_code = 0
        except Exception:
            log.exception("the work broke off; a successor goes on from its last checkpoint")
            self._journal.break_off()
        finally:
            self._ended.set()
            self._pod.stop("the work has ended")

    def _work_to_an_end(self) -> None:
        try:
            claim = self._client.claim()
            self._usage.begin_from(claim.job.usage)
            do = train if claim.WhichOneof("work") == "job" else measure_model
            do(claim, Services(self._settings, self._journal), self._journal, self._usage)
        except StopAsked as stop:
            self._journal.finish(wire.JOB_STATE_PAUSED if stop.paused else wire.JOB_STATE_CANCELLED)
        except LASTING as error:
            if not lasts(error):
                raise
            log.exception("the work failed")
            self._journal.finish(wire.JOB_STATE_FAILED, error=_job_error(error))


def lasts(error: PinetuneError) -> bool:
    """Return whether the error would come again in a successor, so that the job has failed."""
    return isinstance(error, LASTING) and error.reason not in OF_THIS_ATTEMPT


def beat_until(ended: threading.Event, beat: Callable[[], None], *, every_seconds: float = HEARTBEAT_SECONDS) -> None:
    """Send heartbeats until the work has ended. One that breaks off is logged: a worker without a pulse is killed."""
    while not ended.wait(every_seconds):
        try:
            beat()
        except Exception:
            log.exception("a heartbeat broke off; the next one follows")


def _job_error(error: PinetuneError) -> wire.JobError:
    return wire.JobError(reason=error.reason, message=error.message, field=error.metadata.get("field", ""))


def main() -> int:
    """Be a worker until its work ends; return the exit code."""
    settings = load(WorkerSettings)
    workers: list[Worker] = []

    def build(pod: Pod) -> Sequence[RegisteredService]:
        workers.append(Worker(pod, settings))
        pod.add_startup(workers[0].start)
        return ()

    code = run("worker", load(PodSettings), build)
    return code or (workers[0].exit_code if workers else 1)


if __name__ == "__main__":
    sys.exit(main())
