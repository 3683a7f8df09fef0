"""How a command reaches the services, and what it says when nobody is there."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Annotated

import grpc
import typer

from pinetune.cli.console import say
from pinetune.cli.local_grading import grading_of_its_own
from pinetune.client.grading import GradingClient
from pinetune.client.jobs import PATIENCE_SECONDS, JobsClient
from pinetune.pod.channel import connect
from pinetune.pod.errors import PinetuneError, Unavailable

DEFAULT_SERVER = "localhost:50051"
PATIENCE_HERE_SECONDS = 1.0
"""How long a server on this machine is waited for."""

Server = Annotated[
    str, typer.Option("--server", envvar="PINETUNE_SERVER", metavar="HOST:PORT", help="Where pinetune listens.")
]
"""The option of every command that asks a server."""
Local = Annotated[
    bool, typer.Option("--local", help="Grade in a process of this command's own; needs no `pinetune up`.")
]
"""The option of commands that need the grading service only."""


def watch_command(job_id: str, server: str) -> str:
    """Return what a person types to follow a job at this server."""
    at = "" if server == DEFAULT_SERVER else f" --server {server}"
    return f"pinetune jobs watch {job_id}{at}"


@contextlib.contextmanager
def jobs_at(address: str) -> Iterator[JobsClient]:
    """Give a client of the jobs service; Unavailable says how to start one where nobody answers.

    A server elsewhere may be away for a new release, and is waited for; on this machine it runs or it does not, and a
    port that is forwarded from a cluster goes away with the pod behind it.
    """
    with _channel_to(address) as channel:
        yield JobsClient(channel, patience_seconds=_patience_seconds(address), away=_teller(address))


@contextlib.contextmanager
def grading_at(address: str, *, local: bool = False) -> Iterator[GradingClient]:
    """Give a client of the grading service, which the jobs service's port offers too, or of one of its own."""
    if local:
        with grading_of_its_own() as client:
            yield client
        return
    with _channel_to(address, or_else=", or add --local") as channel:
        yield GradingClient(channel, patience_seconds=_patience_seconds(address), away=_teller(address))


def _patience_seconds(address: str) -> float:
    return PATIENCE_HERE_SECONDS if _is_here(address) else PATIENCE_SECONDS


def _teller(address: str) -> Callable[[PinetuneError], None]:
    """Return what tells a person that a server elsewhere is waited for."""

    def tell(error: PinetuneError) -> None:
        if not _is_here(address):
            named = error.reason == grpc.StatusCode.UNAVAILABLE.name
            what = f"nobody answers at {address}" if named else error.message
            say(f"{what}; trying for {PATIENCE_SECONDS:.0f} s")

    return tell


def _is_here(address: str) -> bool:
    host = re.sub(r":\d+$", "", address.rpartition("/")[2]).strip("[]")
    return address.startswith("unix:") or host in ("localhost", "0.0.0.0", "::1", "::") or host.startswith("127.")


@contextlib.contextmanager
def _channel_to(address: str, *, or_else: str = "") -> Iterator[grpc.Channel]:
    try:
        with connect(address) as channel:
            yield channel
    except Unavailable as error:
        # A server that is there and unavailable gives a reason of its own.
        if error.reason != grpc.StatusCode.UNAVAILABLE.name:
            raise
        way = "start one with `pinetune up`" if _is_here(address) else "check the address and the way there"
        sentence = f"no pinetune at {address}; {way}{or_else}"
        raise Unavailable(sentence, reason="NOBODY_THERE") from error
