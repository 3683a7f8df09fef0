"""Follows a job: its events from a token on, then each new one as it happens, until the job has ended."""

import contextlib
import threading
from collections.abc import Iterator

import grpc

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.client.calls import TAKEN
from pinetune.jobs import metrics
from pinetune.jobs.bell import Bell
from pinetune.jobs.paging import position_of, token_of
from pinetune.jobs.store.database import Database
from pinetune.jobs.store.history import EventRow, list_events
from pinetune.jobs.store.jobs import Job, get_job
from pinetune.pod.errors import Busy, Unavailable

BATCH_COUNT = 200
# The bell wakes a watcher at once; this only bounds how late it sees that its client or the pod is gone.
LOOK_SECONDS = 1.0
RETRY_SECONDS = 5.0


class Watching:
    """The open streams of events."""

    def __init__(self, database: Database, news: Bell, stopping: threading.Event, *, max_watchers: int) -> None:
        self._database = database
        self._news = news
        self._stopping = stopping
        self._max_watchers = max_watchers
        self._free = threading.BoundedSemaphore(max_watchers)

    def watch(self, request: wire.WatchJobRequest, context: grpc.ServicerContext) -> Iterator[wire.WatchJobResponse]:
        """Yield a job's events after the token; ends with the job, and with its client.

        Raises Busy TOO_MANY_WATCHERS, and Unavailable where the pod stops; the token of the last event goes on.
        """
        position = position_of(request.resume_token, scope=request.job_id, field="resume_token")
        if not self._free.acquire(blocking=False):
            raise Busy(
                f"{self._max_watchers} streams are open already, the limit of PINETUNE_JOBS_MAX_WATCHERS",
                reason="TOO_MANY_WATCHERS",
                retry_after_seconds=RETRY_SECONDS,
            )
        metrics.WATCHERS.inc()
        try:
            context.add_callback(self._news.ring)
            yield from self._events(request.job_id, position[0] if position else 0, context)
        finally:
            metrics.WATCHERS.dec()
            self._free.release()

    def _events(self, job_id: str, after: int, context: grpc.ServicerContext) -> Iterator[wire.WatchJobResponse]:
        is_told = False
        while context.is_active():
            rung = self._news.count
            with self._database.read() as connection:
                job = get_job(connection, job_id)
                rows = list_events(connection, job_id, after=after, limit=BATCH_COUNT)
            for row in rows:
                yield _response(job, row)
                after, is_told = row.number, True
            if rows:
                continue
            if job.work.state.is_end:
                return
            if self._stopping.is_set():
                raise Unavailable(
                    "the jobs service stops; once it is back, go on after the last event", reason="POD_STOPPING"
                )
            if not is_told:
                # One who was cut off is to know that we are back, and not only with the next event.
                with contextlib.suppress(grpc.RpcError):  # Of one who has left; the loop sees it.
                    context.send_initial_metadata(TAKEN)
                is_told = True
            self._news.wait(rung, timeout_seconds=LOOK_SECONDS)


def _response(job: Job, row: EventRow) -> wire.WatchJobResponse:
    """Spell an event with the job as it was then; its order never changes and is kept once, with the job."""
    response = wire.WatchJobResponse(resume_token=token_of([row.number], scope=job.work.work_id))
    response.event.ParseFromString(row.event_message)
    response.job.ParseFromString(row.job_message)
    response.job.spec.ParseFromString(job.work.order_message)
    return response
