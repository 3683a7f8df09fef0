import os
import socket
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Run

from pinetune.cli.data_folder import DataFolder, held
from pinetune.cli.up import plan
from pinetune.pod.errors import Conflict


@pytest.mark.parametrize("option", ["--http-port", "--grpc-port"])
def test_a_port_in_use_is_said_in_one_sentence(run: Run, tmp_path: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        others = {"--http-port": 0, "--grpc-port": 0} | {option: port}
        outcome = run("up", "--data-dir", tmp_path, *(word for pair in others.items() for word in pair))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        f"error: {option}: port {port} cannot be used (address already in use); another one, or 0 for any\n"
    )


def test_a_folder_that_is_held_is_refused_with_its_holder(run: Run, tmp_path: Path) -> None:
    with held(tmp_path):
        outcome = run("up", "--data-dir", tmp_path, "--http-port", 0, "--grpc-port", 0)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (f"error: --data-dir: {tmp_path} is in use by another `pinetune up`, process {os.getpid()}\n")


def test_a_folder_can_be_held_again_once_it_is_let_go(tmp_path: Path) -> None:
    for _ in range(2):
        with held(tmp_path / "new") as folder:
            assert folder.logs.is_dir()
            with pytest.raises(Conflict), held(tmp_path / "new"):
                pass


def test_a_folder_that_cannot_be_made_is_said_in_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = run("up", "--data-dir", tmp_path / "file" / "data")
    assert outcome.code == 2
    assert outcome.err == f"error: --data-dir: {tmp_path / 'file' / 'data'}: Not a directory\n"


def test_each_service_is_told_where_those_before_it_listen(tmp_path: Path) -> None:
    addresses = {"grading": {"grpc": "127.0.0.1:7001"}, "jobs": {"grpc": "127.0.0.1:7002"}}
    made = {name: variables(addresses) for name, variables in plan(DataFolder(tmp_path), http_port=80, grpc_port=90)}
    assert list(made) == ["grading", "jobs", "gateway"]
    assert made["jobs"]["PINETUNE_JOBS_GRADING_ADDRESS"] == "127.0.0.1:7001"
    assert made["jobs"]["PINETUNE_POD_GRPC_PORT"] == "90"
    assert made["gateway"]["PINETUNE_GATEWAY_JOBS_ADDRESS"] == "127.0.0.1:7002"
    assert made["gateway"]["PINETUNE_GATEWAY_HTTP_PORT"] == "80"
