"""The jobs service as a process: `python -m pinetune.jobs`."""

import sys
from collections.abc import Sequence

from pinetune.api.jobs.v1.jobs_pb2_grpc import add_JobsServiceServicer_to_server
from pinetune.api.jobs.v1.worker_pb2_grpc import add_WorkerServiceServicer_to_server
from pinetune.client.forwarding import forwarding
from pinetune.jobs import metrics
from pinetune.jobs.bell import Bell
from pinetune.jobs.config import JobsSettings
from pinetune.jobs.creating import Creator
from pinetune.jobs.grader_check import GraderCheck
from pinetune.jobs.launcher.base import Launcher, RestartLimit
from pinetune.jobs.launcher.local import Command, LocalLauncher, module_command
from pinetune.jobs.orders import OrderDesk
from pinetune.jobs.scheduler import Limits, Scheduler
from pinetune.jobs.service import JobsServicer
from pinetune.jobs.store.database import Database
from pinetune.jobs.wanted_replicas import WantedReplicas
from pinetune.jobs.watching import Watching
from pinetune.jobs.worker_service import WorkerServicer
from pinetune.pod.channel import connect
from pinetune.pod.config import load, variable_of
from pinetune.pod.errors import InvalidInput
from pinetune.pod.server import Pod, PodSettings, RegisteredService, run
from pinetune.pod.storage import open_address

JOBS_SERVICE = "pinetune.api.jobs.v1.JobsService"
WORKER_SERVICE = "pinetune.api.jobs.v1.WorkerService"
GRADING_SERVICE, GRADING_METHODS = "pinetune.api.grading.v1.GradingService", ("Grade", "ValidateGrader")


def build(pod: Pod, settings: JobsSettings, *, command: Command = module_command) -> Sequence[RegisteredService]:
    """Put the room together; `command` says how its children are started."""
    artifacts_uri = settings.artifacts()
    open_address(artifacts_uri, field=variable_of(JobsSettings, "artifacts_uri"))
    settings.folder().mkdir(parents=True, exist_ok=True)
    metrics.watch_disks(state=settings.folder(), artifacts_uri=artifacts_uri)
    database = Database(settings.database())
    pod.add_shutdown(database.close)
    news, queue, wanted = Bell(), Bell(), WantedReplicas()
    channel = connect(settings.grading_address) if settings.grading_address else None
    if channel is not None:
        pod.add_shutdown(channel.close)
    creator = Creator(database, OrderDesk(database, GraderCheck(channel, settings.grading_address)))
    watching = Watching(database, news, pod.stopping, max_watchers=settings.max_watchers)
    users = JobsServicer(database, creator, watching, artifacts_uri=artifacts_uri, news=news, queue=queue)
    workers = WorkerServicer(database, artifacts_uri=artifacts_uri, news=news, queue=queue, wanted=wanted)

    def start_scheduler() -> None:
        # The ports are known only now, and workers have to find us.
        launcher = make_launcher(settings, settings.jobs_address or pod.grpc_address, command)
        limits = Limits(
            max_running=settings.max_running,
            cancel_grace_seconds=settings.cancel_grace_seconds,
            heartbeat_timeout_seconds=settings.heartbeat_timeout_seconds,
            stop_grace_seconds=settings.stop_grace_seconds,
        )
        scheduler = Scheduler(
            database,
            launcher,
            limits,
            artifacts_uri=artifacts_uri,
            news=news,
            queue=queue,
            wanted=wanted,
            stopping=pod.stopping,
        )
        pod.add_shutdown(scheduler.close)
        scheduler.start()

    pod.add_startup(start_scheduler)
    services = [
        RegisteredService(JOBS_SERVICE, lambda server: add_JobsServiceServicer_to_server(users, server)),
        RegisteredService(WORKER_SERVICE, lambda server: add_WorkerServiceServicer_to_server(workers, server)),
    ]
    if channel is not None:
        # Users know this address only; `pinetune graders` finds the grading service here.
        handler = forwarding(GRADING_SERVICE, GRADING_METHODS, channel)
        services.append(RegisteredService(GRADING_SERVICE, lambda server: server.add_generic_rpc_handlers((handler,))))
    return services


def make_launcher(settings: JobsSettings, jobs_address: str, command: Command) -> Launcher:
    """Return what runs jobs; raises InvalidInput where the settings do not suffice for it."""
    if settings.launcher == "local":
        return LocalLauncher(
            data_dir=settings.folder(),
            jobs_address=jobs_address,
            grading_address=settings.grading_address,
            stop_grace_seconds=settings.stop_grace_seconds,
            restart_limit=RestartLimit(settings.replica_restarts_max, settings.replica_restart_seconds),
            command=command,
        )
    if settings.pod_templates is None:
        raise InvalidInput(
            "PINETUNE_JOBS_POD_TEMPLATES: the kubernetes launcher needs the file with the pod templates",
            reason="FIELD_REQUIRED",
            field="pod_templates",
        )
    # Imported here: only clusters need the Kubernetes client.
    from pinetune.jobs.launcher.kubernetes import KubernetesLauncher
    from pinetune.jobs.launcher.kubernetes_cluster import connect_to_cluster
    from pinetune.jobs.launcher.kubernetes_objects import Surroundings
    from pinetune.jobs.launcher.pod_templates import read_pod_templates

    surroundings = Surroundings(
        read_pod_templates(settings.pod_templates), jobs_address, settings.grading_address, settings.queue_name
    )
    return KubernetesLauncher(connect_to_cluster(settings.namespace), surroundings)


def main() -> int:
    """Serve until asked to stop; return the exit code."""
    settings = load(JobsSettings)
    pod_settings = load(PodSettings)
    # Each watcher holds a thread; the other calls need theirs beside them.
    threads = max(pod_settings.threads, settings.max_watchers + pod_settings.threads)
    return run("jobs", pod_settings.model_copy(update={"threads": threads}), lambda pod: build(pod, settings))


if __name__ == "__main__":
    sys.exit(main())
