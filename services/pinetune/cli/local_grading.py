"""A grading service of a command's own, for trying graders where no `pinetune up` runs."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pinetune.cli.data_folder import held
from pinetune.cli.supervisor import Plan, ServiceError, Supervisor
from pinetune.client.grading import GradingClient
from pinetune.pod.channel import connect
from pinetune.pod.errors import Unavailable

PLAN: Plan = (("grading", lambda _: {"PINETUNE_POD_GRPC_PORT": "0", "PINETUNE_POD_METRICS_PORT": "0"}),)


@contextlib.contextmanager
def grading_of_its_own() -> Iterator[GradingClient]:
    """Give a client of a grading service that ends with the block; raises Unavailable where it does not start."""
    with tempfile.TemporaryDirectory(prefix="pinetune-") as name, held(Path(name)) as folder:
        supervisor = Supervisor(folder, PLAN)
        try:
            supervisor.start()
            with connect(supervisor.addresses["grading"]["grpc"]) as channel:
                yield GradingClient(channel)
        except ServiceError as error:
            sentence = f"--local: {error}; its log ends with\n{error.child.last_lines()}"
            raise Unavailable(sentence, reason="GRADING_NOT_STARTED") from error
        finally:
            supervisor.stop()
