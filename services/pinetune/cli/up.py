"""`pinetune up`: all of pinetune on one machine, as child processes, with SQLite and local files."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from pinetune.cli.child import read_addresses
from pinetune.cli.console import fail, say
from pinetune.cli.data_folder import DataFolder, held
from pinetune.cli.supervisor import Addresses, Plan, ServiceError, Stopped, Supervisor
from pinetune.pod.errors import InvalidInput

HOST = "127.0.0.1"
EXIT_FAILED = 1

Port = Annotated[int, typer.Option(min=0, max=65535)]


def up(
    data_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where everything is kept.")] = Path("~/.pinetune"),
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the pages; 0 takes any.")] = 8080,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the jobs service; 0 takes any.")] = 50051,
) -> None:
    """Run all of pinetune on this machine until Ctrl-C or SIGTERM. Jobs that were running go on at the next `up`."""
    with held(data_dir) as folder:
        for option, port in (("--http-port", http_port), ("--grpc-port", grpc_port)):
            _check_free(option, port)
        supervisor = Supervisor(folder, plan(folder, http_port=http_port, grpc_port=grpc_port))
        supervisor.listen_to_signals()
        try:
            supervisor.start()
            http = read_addresses(_http_file(folder))["http"]
            print(f"ready http://{http} grpc://{supervisor.addresses['jobs']['grpc']}", flush=True)
            supervisor.supervise()
        except Stopped:
            pass
        except ServiceError as error:
            fail(f"{error}; its log is {error.child.log_file} and ends with")
            say(error.child.last_lines())
            raise typer.Exit(EXIT_FAILED) from error
        finally:
            supervisor.stop()


def plan(folder: DataFolder, *, http_port: int, grpc_port: int) -> Plan:
    """Return the services in the order of their start."""

    def grading(_: Addresses) -> Mapping[str, str]:
        return {"PINETUNE_POD_GRPC_PORT": "0", "PINETUNE_POD_METRICS_PORT": "0"}

    def jobs(addresses: Addresses) -> Mapping[str, str]:
        return {
            "PINETUNE_POD_GRPC_PORT": str(grpc_port),
            "PINETUNE_POD_METRICS_PORT": "0",
            "PINETUNE_JOBS_DATA_DIR": str(folder.path),
            "PINETUNE_JOBS_GRADING_ADDRESS": addresses["grading"]["grpc"],
        }

    def gateway(addresses: Addresses) -> Mapping[str, str]:
        return {
            "PINETUNE_POD_GRPC_PORT": "0",
            "PINETUNE_POD_METRICS_PORT": "0",
            "PINETUNE_GATEWAY_HTTP_PORT": str(http_port),
            "PINETUNE_GATEWAY_HTTP_ADDRESS_FILE": str(_http_file(folder)),
            "PINETUNE_GATEWAY_JOBS_ADDRESS": addresses["jobs"]["grpc"],
        }

    return (("grading", grading), ("jobs", jobs), ("gateway", gateway))


def _http_file(folder: DataFolder) -> Path:
    return folder.run / "http.json"


def _check_free(option: str, port: int) -> None:
    """Raise where something listens on the port; the service itself would only say so in its log."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InvalidInput(
                f"{option}: port {port} cannot be used ({(error.strerror or '').lower()}); another one, or 0 for any",
                reason="PORT_UNUSABLE",
            ) from error
