"""The processes of one attempt on this machine. They live and die together: the first to end takes the others along.

Generation replicas are the exception: one that dies is started again alone, with its ports, as often as is allowed; and
they are as many as `scale` says, so that one may start late, and end without being missed. A further one, beyond those
that the attempt began with, that dies once too often is given up, and the attempt goes on without it.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from pinetune.jobs.launcher.base import Exit, Restart, RestartLimit, is_refusal
from pinetune.jobs.launcher.leaving import Leaving
from pinetune.jobs.launcher.ports import HeldPorts
from pinetune.jobs.launcher.process import ProcessPlan, RunningProcess, last_lines, start_process

log = logging.getLogger(__name__)


class ProcessGroup:
    """One attempt's processes."""

    def __init__(
        self,
        work_id: str,
        attempt: int,
        *,
        log_folder: Path,
        stop_grace_seconds: float,
        restart_limit: RestartLimit,
    ) -> None:
        self.work_id = work_id
        self.attempt = attempt
        self.processes: list[RunningProcess] = []
        """Those that were started and are meant to run, the worker last."""
        self._log_folder = log_folder
        self._stop_grace_seconds = stop_grace_seconds
        self._restart_limit = restart_limit
        self._restart_times: dict[str, list[float]] = {}
        self._first: RunningProcess | None = None
        self._kill_time: float | None = None
        self._samplers: list[ProcessPlan] = []
        """All that there may ever be, by number."""
        self._further: frozenset[str] = frozenset()
        """Those that the attempt did not begin with and can do without."""
        self._given_up: dict[str, str] = {}
        """Further samplers that are not started again, and why."""
        self._wanted = 0
        self._ports = HeldPorts()
        self._leaving = Leaving(self._ports, grace_seconds=stop_grace_seconds)

    def start(self, plan: ProcessPlan) -> None:
        """Start a process; raises OSError where that is not possible."""
        self.processes.append(self._started(plan))

    def plan_samplers(self, plans: Sequence[ProcessPlan]) -> None:
        """Tell `scale` of all samplers that there may ever be, by number; the ports of those that wait are kept."""
        self._samplers = list(plans)
        running = {process.plan.name for process in self.processes}
        self._further = frozenset(plan.name for plan in plans if plan.name not in running)
        for plan in plans:
            if plan.name in self._further:
                self._ports.hold(plan.ports)

    @property
    def given_up(self) -> str:
        """Say which wanted samplers were given up, and why; empty where none was."""
        return "; ".join(
            f"{plan.name} is given up for this attempt, and the job goes on without it: {self._given_up[plan.name]}"
            for plan in self._samplers[: self._wanted]
            if plan.name in self._given_up
        )

    def scale(self, count: int) -> bool:
        """Have the first `count` samplers run, unless the attempt ends anyhow; returns whether one came or went.

        Raises OSError where one cannot be started. One that was too many and still ends is started again once it has.
        """
        if self._first is not None or self._kill_time is not None:
            return False
        self._wanted = count
        too_many = [process for process in self.processes if process.plan in self._samplers[count:]]
        for process in too_many:
            self.processes.remove(process)
            self._leaving.dismiss(process)
        there = {process.plan.name for process in [*self.processes, *self._leaving.processes]}
        missing = [plan for plan in self._samplers[:count] if plan.name not in there | self._given_up.keys()]
        for plan in missing:
            self._ports.release(plan.ports)
            try:
                process = self._started(plan)
            except OSError:
                self._ports.hold(plan.ports)
                raise
            # The worker stays the last.
            self.processes.insert(len(self.processes) - 1, process)
        return bool(too_many or missing)

    def _started(self, plan: ProcessPlan) -> RunningProcess:
        return start_process(plan, self._log_folder / f"{plan.name}-{self.attempt}.log")

    def stop(self, *, grace_seconds: float) -> None:
        """Ask all to end; `poll` kills those that have not after the grace. A second call may only shorten it."""
        kill_time = time.monotonic() + grace_seconds
        if self._kill_time is not None:
            # Not told twice: a pod that is stopping takes a second signal for an order to break that off.
            self._kill_time = min(kill_time, self._kill_time)
            return
        self._kill_time = kill_time
        for process in _alive(self.processes):
            process.tell_to_end()

    def restart_dead(self) -> list[Restart]:
        """Start generation replicas again that died, unless the attempt ends anyhow; `poll` ends it where none may.

        Further ones that may not are given up.
        """
        if self._first is not None or self._kill_time is not None:
            return []
        ended = [process for process in self.processes if process.popen.poll() is not None]
        may_not = [process for process in ended if not self._may_restart(process)]
        for process in may_not:
            if process.plan.name in self._further:
                self._given_up[process.plan.name] = self._why_given_up(process)
                self._dismiss(process)
        if any(process.plan.name not in self._further for process in may_not):
            return []
        again = [process for process in ended if process not in may_not]
        return [restart for process in again if (restart := self._restarted(process)) is not None]

    def _why_given_up(self, process: RunningProcess) -> str:
        code, lines = process.popen.returncode, last_lines(process.log_file)
        if refusal := Exit(self.work_id, self.attempt, process.plan.name, code, lines).refusal:
            return f"it refuses its settings: {refusal}"
        often = f"it died more than {self._restart_limit.count} times within {self._restart_limit.seconds:g} s"
        return f"{often}, last with code {code}: {lines[-1] if lines else 'it does not say why'}"

    def _dismiss(self, process: RunningProcess) -> None:
        """Take a further sampler that has ended off those that are meant to run; nobody else is to get its ports."""
        process.let_go()
        self.processes.remove(process)
        self._ports.hold(process.plan.ports)

    def _may_restart(self, process: RunningProcess) -> bool:
        # What refuses its settings, its port among them, would do so again.
        if not process.plan.restarts_alone or is_refusal(process.popen.returncode):
            return False
        since = time.monotonic() - self._restart_limit.seconds
        recent = [moment for moment in self._restart_times.get(process.plan.name, ()) if moment > since]
        self._restart_times[process.plan.name] = recent
        return len(recent) < self._restart_limit.count

    def _restarted(self, process: RunningProcess) -> Restart | None:
        """Start a process again; None where that is not possible, which ends the attempt but for a further sampler."""
        code, lines = process.popen.returncode, last_lines(process.log_file)
        process.let_go()
        try:
            successor = self._started(process.plan)
        except OSError:
            log.exception("%s of %s cannot be started again", process.plan.name, self.work_id)
            if process.plan.name in self._further:
                self._dismiss(process)  # `scale` tries again, and says what keeps it.
            return None
        self.processes[self.processes.index(process)] = successor
        times = self._restart_times[process.plan.name]
        times.append(time.monotonic())
        return Restart(
            self.work_id, self.attempt, process.plan.name, code, lines, count=len(times), limit=self._restart_limit
        )

    def poll(self) -> Exit | None:
        """Look after the processes; returns the attempt's exit once all are gone."""
        self._leaving.see_off()
        alive = _alive([*self.processes, *self._leaving.processes])
        # A further sampler's end is no end of the attempt, not even one between `restart_dead` and now.
        ended = [
            process
            for process in self.processes
            if process.popen.returncode is not None and process.plan.name not in self._further
        ]
        if ended and self._first is None:
            # The worker's own end is the planned one; where several went together it is the one to blame least.
            self._first = min(ended, key=lambda process: process.plan.name == "worker" and len(ended) > 1)
            if alive:
                self.stop(grace_seconds=self._stop_grace_seconds)
        if alive and self._kill_time is not None and time.monotonic() >= self._kill_time:
            for process in alive:
                process.popen.kill()
        if alive or self._first is None:
            return None
        for process in self.processes:
            process.let_go()
        self._ports.close()
        code = self._first.popen.returncode
        return Exit(self.work_id, self.attempt, self._first.plan.name, code, last_lines(self._first.log_file))

    def kill(self) -> None:
        """Kill all that are left and wait for their end."""
        processes = [*self.processes, *self._leaving.processes]
        for process in _alive(processes):
            process.popen.kill()
        for process in processes:
            process.popen.wait()
            process.let_go()
        self._ports.close()


def _alive(processes: Sequence[RunningProcess]) -> list[RunningProcess]:
    return [process for process in processes if process.alive]
