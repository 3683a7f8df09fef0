"""Decides what runs: starts what is queued, starts again what died, stops what was cancelled or is stuck.

One thread; woken by every change of the queue, and once a second while processes run. It holds no state that matters:
after a restart of the service it finds in the store what should run, and starts it with a new attempt; of an attempt
that its predecessor had begun to start it starts the rest (`launches.py`). So a job goes on whichever process is
killed, this one included.
"""

import logging
import math
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.jobs import events, metrics
from pinetune.jobs.bell import Bell
from pinetune.jobs.ending import end_as_wished, end_work
from pinetune.jobs.launcher.base import Exit, Launcher, Restart
from pinetune.jobs.launches import Launches
from pinetune.jobs.moments import now
from pinetune.jobs.queue_ages import QueueAges
from pinetune.jobs.states import State, Wish
from pinetune.jobs.store.database import Database
from pinetune.jobs.store.leases import begin_attempt, current_attempt, end_attempt
from pinetune.jobs.store.works import (
    EVALUATION,
    JOB,
    Fault,
    Work,
    count_works,
    get_work,
    known_works,
    list_works,
    move,
    update_work,
)
from pinetune.jobs.wanted_replicas import WantedReplicas

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often processes are looked after while there are any."""
IDLE_SECONDS = 30.0
"""How often the store is looked at while nothing runs; the bell wakes earlier."""
CLOSE_SECONDS = 5.0
"""How long a round under way may take to end when the service stops; one that waits for a cluster may take minutes."""


@dataclass(frozen=True)
class Limits:
    """What the settings allow."""

    max_running: int
    """Jobs and evaluations that run at once."""
    cancel_grace_seconds: float
    """How long a worker may take to end by itself after a cancellation."""
    heartbeat_timeout_seconds: float
    """After how long a silent worker is taken for dead."""
    stop_grace_seconds: float
    """How long processes may take to end when told to."""


class Scheduler:
    """Runs the queue until `stopping` is set: a worker that is started later would be refused at the service's door."""

    def __init__(
        self,
        database: Database,
        launcher: Launcher,
        limits: Limits,
        *,
        artifacts_uri: str,
        news: Bell,
        queue: Bell,
        wanted: WantedReplicas,
        stopping: threading.Event,
    ) -> None:
        self._database = database
        self._launcher = launcher
        self._limits = limits
        self._news = news
        self._queue = queue
        self._wanted = wanted
        self._silent: set[str] = set()
        self._launches = Launches(database, launcher, artifacts_uri=artifacts_uri, news=news, stopping=stopping)
        self._left_since: dict[str, int] = {}
        """Since when work has processes and does not run."""
        self._held_up: dict[str, int] = {}
        """When work was last kept from starting whose worker has not claimed it."""
        self._queue_ages = QueueAges()
        self._since = now()
        self._stopping = stopping
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> None:
        """Begin to run the queue."""
        self._thread.start()

    def close(self, *, patience_seconds: float = CLOSE_SECONDS) -> None:
        """Stop deciding, and end all processes; what runs now runs again after the next start.

        A round that does not end in time is left to the end of the process, and local processes with it; it launches
        nothing any more.
        """
        self._stopping.set()
        self._queue.ring()
        if self._thread.is_alive():
            self._thread.join(patience_seconds)
        if self._thread.is_alive():
            log.warning("a round of the scheduler is cut off: it takes longer than %g s to end", patience_seconds)
            return  # The round may be using the launcher.
        self._launcher.close()

    def look(self) -> None:
        """Do what is to be done now; the thread does this over and over."""
        self._launches.give_up_unwanted(stop_grace_seconds=self._limits.stop_grace_seconds)
        for news in self._launcher.poll():
            if isinstance(news, Restart):
                self._tell_restart(news)
            else:
                self._after_exit(news)
        running = self._list_running()
        self._launches.take_over(running)
        for work in running:
            if work in self._launches:
                self._launches.start_again(work)
            elif work.work_id in self._launcher.running():
                self._stop_where_overdue(work)
                self._scale(work)
            else:
                self._start_lost(work)
        running_ids = {work.work_id for work in running}
        self._wanted.forget_all_but(running_ids)
        self._held_up = {work_id: moment for work_id, moment in self._held_up.items() if work_id in running_ids}
        self._stop_left_over(self._launcher.running() - running_ids)
        while self._start_next():
            pass
        self._show_pending(self._list_running())
        self._show_counts()

    def _list_running(self) -> list[Work]:
        with self._database.read() as connection:
            return list_works(connection, State.RUNNING)

    def _run(self) -> None:
        while not self._stopping.is_set():
            rung = self._queue.count
            try:
                self.look()
            except Exception:
                # The queue must not stand still for one round that failed; the next one begins from the store.
                metrics.SCHEDULER_FAILURES.inc()
                log.exception("a round of the scheduler failed")
            is_busy = self._launches or self._launcher.running()
            self._queue.wait(rung, timeout_seconds=LOOK_SECONDS if is_busy else IDLE_SECONDS)

    def _tell_restart(self, restart: Restart) -> None:
        """Put the death of a replica, and its successor, into the job's story."""
        metrics.REPLICA_RESTARTS.inc()
        within = f" within {restart.limit.seconds:g} s" if math.isfinite(restart.limit.seconds) else ""
        sentence = (
            f"{restart.process} ended with {_code(restart.code)}; it alone is started again, restart {restart.count} "
            f"of {restart.limit.count}{within}{_tail(restart.log_lines)}"
        )
        with self._database.write() as connection:
            work = get_work(connection, restart.work_id)
            events.record(connection, work, sentence, moment=now(), level=wire.EVENT_LEVEL_WARN)
        self._news.ring()

    def _after_exit(self, end: Exit) -> None:
        """End work whose processes are gone, or start it again, unless its worker has said how it ended."""
        was_silent = end.work_id in self._silent
        self._silent.discard(end.work_id)
        with self._database.write() as connection:
            work, moment = get_work(connection, end.work_id), now()
            if work.state is not State.RUNNING or work.attempt != end.attempt:
                return
            how = f"{end.process} ended with {_code(end.code)}"
            if was_silent:
                how = f"it was not heard of for {self._limits.heartbeat_timeout_seconds:g} s and was stopped"
            end_attempt(connection, work.work_id, work.attempt, now=moment, ending=how)
            again = self._decide_after_death(connection, work, how, end, moment)
        self._news.ring()
        if again is not None:
            self._launches.start(work, again)

    def _decide_after_death(self, connection: Connection, work: Work, how: str, end: Exit, moment: int) -> int | None:
        """Return the attempt to start; None where the work ends here."""
        if work.wish is not Wish.NONE:
            end_as_wished(connection, work, moment=moment)
            return None
        if end.refusal:
            fault = Fault("SETTINGS_REFUSED", f"{end.process} refused its settings: {end.refusal}")
            end_work(connection, work, State.FAILED, moment=moment, fault=fault)
            return None
        tail = _tail(end.log_lines)
        if work.restart_count >= work.max_restarts:
            message = f"attempt {work.attempt}: {how}, and {work.restart_count} restarts are all it may have{tail}"
            fault = Fault("WORKER_DIED", message)
            end_work(connection, work, State.FAILED, moment=moment, fault=fault)
            return None
        attempt = begin_attempt(connection, work, now=moment, is_restart=True)
        metrics.RESTARTS.labels(work.kind).inc()
        sentence = (
            f"attempt {work.attempt}: {how}; started again as attempt {attempt}, "
            f"restart {work.restart_count + 1} of {work.max_restarts}{tail}"
        )
        events.record(connection, work, sentence, moment=moment, level=wire.EVENT_LEVEL_WARN)
        return attempt

    def _start_lost(self, work: Work) -> None:
        """Start again what ran when this service ended."""
        if self._stopping.is_set():
            return
        with self._database.write() as connection:
            work, moment = get_work(connection, work.work_id), now()
            if work.state is not State.RUNNING:
                return
            end_attempt(connection, work.work_id, work.attempt, now=moment, ending="the jobs service was away")
            if work.wish is not Wish.NONE:
                end_as_wished(connection, work, moment=moment)
                attempt = None
            else:
                attempt = begin_attempt(connection, work, now=moment)
                sentence = f"the jobs service is back; the job goes on as attempt {attempt}"
                events.record(connection, work, sentence, moment=moment, level=wire.EVENT_LEVEL_WARN)
        self._news.ring()
        if attempt is not None:
            self._launches.start(work, attempt)

    def _start_next(self) -> bool:
        """Start the oldest queued work where there is room; returns whether there may be more to start."""
        if self._stopping.is_set():
            return False
        with self._database.write() as connection:
            running = {work.work_id for work in list_works(connection, State.RUNNING)} | self._launcher.running()
            # What was paused and resumed at once may still have the processes of its last attempt.
            queued = [work for work in list_works(connection, State.QUEUED) if work.work_id not in running]
            if not queued or len(running) >= self._limits.max_running:
                return False
            work, moment = get_work(connection, queued[0].work_id), now()
            if work.state is not State.QUEUED:
                return True  # It was cancelled or paused this moment.
            move(connection, work, State.RUNNING, now=moment)
            attempt = begin_attempt(connection, work, now=moment)
            events.record(connection, work, f"attempt {attempt} starts", moment=moment, kind=wire.EVENT_TYPE_STATE)
        self._news.ring()
        return self._launches.start(work, attempt)

    def _stop_left_over(self, left: Collection[str]) -> None:
        """Stop processes of work that does not run, once they have had time to end by themselves."""
        moment, grace = now(), self._limits.cancel_grace_seconds
        self._left_since = {work_id: self._left_since.get(work_id, moment) for work_id in left}
        overdue = [work_id for work_id, since in self._left_since.items() if moment - since > grace * 1e6]
        if not overdue:
            return
        with self._database.read() as connection:
            # What the store does not know may be another service's.
            overdue = sorted(known_works(connection, overdue))
        for work_id in overdue:
            log.warning("%s does not run and has processes left after %g s; they are stopped", work_id, grace)
            self._left_since[work_id] = moment
            self._launcher.stop(work_id, grace_seconds=self._limits.stop_grace_seconds)

    def _stop_where_overdue(self, work: Work) -> None:
        """Stop the processes of cancelled work after its grace, and of a worker that has gone silent."""
        moment = now()
        with self._database.read() as connection:
            attempt = current_attempt(connection, work)
        # A worker that has claimed its work pauses it by itself, after the step.
        is_wished = work.wish is Wish.CANCEL or (work.wish is Wish.PAUSE and attempt.claim_time is None)
        if is_wished and moment - work.wish_time > self._limits.cancel_grace_seconds * 1e6:
            self._launcher.stop(work.work_id, grace_seconds=self._limits.stop_grace_seconds)
            return
        if attempt.claim_time is None and work.work_id in self._launcher.starting():
            self._held_up[work.work_id] = moment  # It cannot be heard yet.
        # While this service was away nobody could be heard either.
        heard = max(attempt.heartbeat_time, self._since, self._held_up.get(work.work_id, 0))
        if moment - heard > self._limits.heartbeat_timeout_seconds * 1e6:
            self._silent.add(work.work_id)
            self._launcher.stop(work.work_id, grace_seconds=self._limits.stop_grace_seconds)

    def _scale(self, work: Work) -> None:
        """Have as many samplers run as the worker wants, once it has said so."""
        if count := self._wanted.of(work.work_id, work.attempt):
            self._launcher.scale(work.work_id, count)

    def _show_pending(self, running: Sequence[Work]) -> None:
        """Write into each work what keeps its processes from starting, and tell it once as an event."""
        pending = {**self._launcher.pending(), **self._launches.pending()}
        metrics.PENDING.set(len(pending))
        for work in running:
            sentence = pending.get(work.work_id, "")
            if sentence == work.pending:
                continue
            with self._database.write() as connection:
                current = get_work(connection, work.work_id)
                if (current.state, current.attempt) != (State.RUNNING, work.attempt):
                    continue
                update_work(connection, work.work_id, pending=sentence)
                if sentence:
                    events.record(connection, work, sentence, moment=now(), level=wire.EVENT_LEVEL_WARN)
            self._news.ring()

    def _show_counts(self) -> None:
        with self._database.read() as connection:
            counts = count_works(connection)
            queued = [work.work_id for work in list_works(connection, State.QUEUED)]
        for kind, gauge in ((JOB, metrics.JOBS), (EVALUATION, metrics.EVALUATIONS)):
            for state in State:
                gauge.labels(str(state)).set(counts.get((kind, state), 0))
        metrics.QUEUE_LENGTH.set(len(queued))
        metrics.OLDEST_QUEUED.set(self._queue_ages.oldest_seconds(queued, moment=now()))
        metrics.DATABASE_BYTES.set(self._database.size_bytes())


def _tail(log_lines: Sequence[str]) -> str:
    return "".join(f"\n    {line}" for line in log_lines)


def _code(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
