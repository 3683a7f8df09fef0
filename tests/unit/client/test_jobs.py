import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import grpc
import pytest
from tests.fakes import history
from tests.fakes.jobs_service import FakeJobs, serving

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.client.calls import TAKEN
from pinetune.client.jobs import CHUNK_BYTES, JobsClient
from pinetune.pod.errors import Busy, InvalidInput, NotFound, PinetuneError, Unavailable

AWAY = Unavailable("gone for a moment", reason="POD_STARTING")
ORDER = json.dumps({"model": "nano", "training_file": "file-1", "method": {"type": "reinforcement"}})

QUICK_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100)]
"""The default backoff of a second would be most of a test."""


@pytest.fixture
def jobs() -> FakeJobs:
    return FakeJobs()


@pytest.fixture
def client(jobs: FakeJobs) -> Iterator[JobsClient]:
    with serving(jobs) as address, grpc.insecure_channel(address) as channel:
        yield JobsClient(channel)


def test_a_file_is_sent_in_chunks_of_a_mebibyte_and_arrives_whole(
    jobs: FakeJobs, client: JobsClient, tmp_path: Path
) -> None:
    content = b"0123456789abcdef" * (2 * CHUNK_BYTES // 16) + b"end\n"
    path = tmp_path / "train.jsonl"
    path.write_bytes(content)
    told: list[tuple[int, int]] = []
    dataset = client.create_dataset(path, progress=lambda sent, size: told.append((sent, size)))
    assert dataset.filename == "train.jsonl"
    assert jobs.contents[dataset.dataset_id] == content
    assert jobs.chunk_sizes == [CHUNK_BYTES, CHUNK_BYTES, 4]
    assert told[-1] == (len(content), len(content))


def test_bytes_can_be_uploaded_under_a_name(jobs: FakeJobs, client: JobsClient) -> None:
    dataset = client.create_dataset(b'{"id": 1}\n', filename="one.jsonl")
    assert (dataset.filename, jobs.contents[dataset.dataset_id]) == ("one.jsonl", b'{"id": 1}\n')


def test_an_upload_that_is_refused_raises_what_the_server_said(jobs: FakeJobs, client: JobsClient) -> None:
    jobs.refuse("CreateDataset", InvalidInput("line 3: not JSON", reason="INVALID_DATASET", line=3))
    with pytest.raises(InvalidInput, match="line 3: not JSON") as raised:
        client.create_dataset(b"x", filename="x.jsonl")
    assert (raised.value.reason, raised.value.metadata) == ("INVALID_DATASET", {"line": "3"})


def test_a_data_set_is_found_again_by_name_and_content_on_any_page(
    jobs: FakeJobs, client: JobsClient, tmp_path: Path
) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"the same\n")
    wanted = jobs.add_dataset("train.jsonl", b"the same\n")
    for number in range(20):
        jobs.add_dataset("train.jsonl", b"other %d\n" % number)
    jobs.add_dataset("renamed.jsonl", b"the same\n")
    found = client.find_dataset(path)
    assert found is not None
    assert found.dataset_id == wanted.dataset_id


def test_a_data_set_that_differs_in_one_byte_is_not_found(jobs: FakeJobs, client: JobsClient, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"the same\n")
    jobs.add_dataset("train.jsonl", b"the sane\n")
    assert client.find_dataset(path) is None


def test_creating_a_job_again_with_its_request_id_makes_no_second_job(jobs: FakeJobs, client: JobsClient) -> None:
    first = client.create_job(ORDER, request_id="r")
    second = client.create_job(ORDER, request_id="r")
    third = client.create_job(ORDER)
    assert first.job_id == second.job_id != third.job_id
    assert jobs.orders == [ORDER, ORDER]


@pytest.mark.parametrize("method", ["GetJob", "CancelJob"])
def test_a_safe_call_is_repeated_while_the_server_is_away(jobs: FakeJobs, client: JobsClient, method: str) -> None:
    jobs.add(history.reinforcement("ftjob-1", step_count=2, ended=False))
    jobs.refuse(method, AWAY, AWAY)
    job = client.get_job("ftjob-1") if method == "GetJob" else client.cancel_job("ftjob-1")
    assert job.job_id == "ftjob-1"
    assert jobs.calls.count(method) == 3


def test_a_creation_is_repeated_with_the_same_request_id(jobs: FakeJobs, client: JobsClient) -> None:
    jobs.refuse("CreateJob", AWAY)
    client.create_job(ORDER)
    assert (jobs.calls.count("CreateJob"), len(jobs.orders)) == (2, 1)


def test_repetition_ends_with_the_servers_error(jobs: FakeJobs) -> None:
    jobs.refuse("GetJob", *[AWAY] * 9)
    with serving(jobs) as address, grpc.insecure_channel(address) as channel:
        hasty = JobsClient(channel, patience_seconds=1)
        with pytest.raises(Unavailable, match="gone for a moment"):
            hasty.get_job("ftjob-1")


def test_pausing_is_not_repeated_because_it_may_have_taken_effect(jobs: FakeJobs, client: JobsClient) -> None:
    jobs.add(history.reinforcement("ftjob-1", step_count=2, ended=False))
    jobs.refuse("PauseJob", AWAY)
    with pytest.raises(Unavailable):
        client.pause_job("ftjob-1")
    assert jobs.calls.count("PauseJob") == 1


def test_a_busy_server_is_not_asked_again(jobs: FakeJobs, client: JobsClient) -> None:
    jobs.refuse("GetJob", Busy("too many calls", reason="TOO_MANY_CALLS"))
    with pytest.raises(Busy):
        client.get_job("ftjob-1")
    assert jobs.calls.count("GetJob") == 1


def test_all_pages_of_a_list_are_read(jobs: FakeJobs, client: JobsClient) -> None:
    past = history.reinforcement("ftjob-1", step_count=20, warm_up_count=5)
    jobs.add(past)
    assert [s.number for s in client.list_steps("ftjob-1", wire.JOB_PHASE_TRAINING)] == list(range(21))
    assert len(list(client.list_events("ftjob-1"))) == len(past.messages)
    assert len(list(client.list_rollouts(job_id="ftjob-1"))) == len(past.rollouts)
    assert len(list(client.list_rollouts(job_id="ftjob-1", step=3))) == 3


def test_a_watch_yields_every_event_and_ends_with_the_job(jobs: FakeJobs, client: JobsClient) -> None:
    past = history.reinforcement("ftjob-1", step_count=5, warm_up_count=3)
    jobs.add(past)
    assert list(client.watch("ftjob-1")) == list(past.messages)


def test_a_watch_goes_on_from_its_token(jobs: FakeJobs, client: JobsClient) -> None:
    past = history.reinforcement("ftjob-1", step_count=5)
    jobs.add(past)
    assert [m.resume_token for m in client.watch("ftjob-1", resume_token="3")] == [
        m.resume_token for m in past.messages[3:]
    ]


def test_a_watch_survives_a_restart_of_the_server_and_misses_nothing() -> None:
    past = history.reinforcement("ftjob-1", step_count=6, warm_up_count=2)
    before, after, port = FakeJobs(), FakeJobs(), _free_port()
    before.add(replace(past, messages=past.messages[:4]))
    after.add(replace(past, messages=past.messages[:4]))
    interruptions: list[PinetuneError] = []
    interrupted, restored = threading.Event(), threading.Event()
    restored_before_news: list[bool] = []

    def note(error: PinetuneError) -> None:
        interruptions.append(error)
        interrupted.set()

    with contextlib.ExitStack() as restarted:

        def come_back() -> None:
            interrupted.wait(10)
            restarted.enter_context(serving(after, port))
            restored_before_news.append(restored.wait(10))
            for message in past.messages[4:]:
                after.tell("ftjob-1", message)

        with grpc.insecure_channel(f"127.0.0.1:{port}", QUICK_RECONNECT) as channel:
            with serving(before, port):
                watch = JobsClient(channel).watch("ftjob-1", interrupted=note, restored=restored.set)
                seen = list(islice(watch, 4))
                assert not restored.is_set()
            thread = threading.Thread(target=come_back)
            thread.start()
            seen += watch
            thread.join()
    assert seen == list(past.messages)
    assert after.watched_from == ["4"]
    assert len(interruptions) == 1
    assert restored_before_news == [True]


class CuttingOff(FakeJobs):
    """Takes every watch, and lets it go."""

    def WatchJob(self, request: wire.WatchJobRequest, context: grpc.ServicerContext) -> Iterator[wire.WatchJobResponse]:
        yield from ()
        context.send_initial_metadata(TAKEN)
        time.sleep(0.05)
        context.abort(grpc.StatusCode.UNAVAILABLE, "the server stops")


def test_a_watch_that_is_taken_and_cut_off_again_and_again_loses_patience() -> None:
    port, told = _free_port(), []
    with serving(CuttingOff(), port), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        watch = JobsClient(channel).watch(
            "ftjob-1",
            patience_seconds=1.0,
            interrupted=lambda error: told.append("lost"),
            restored=lambda: told.append("back"),
        )
        with pytest.raises(Unavailable):
            next(watch)
    assert told[:3] == ["lost", "back", "lost"]


def test_a_watch_gives_up_after_its_patience() -> None:
    with grpc.insecure_channel(f"127.0.0.1:{_free_port()}") as channel:
        watch = JobsClient(channel).watch("ftjob-1", patience_seconds=0.3)
        with pytest.raises(Unavailable):
            next(watch)


def test_a_watch_of_an_unknown_job_raises_at_once(client: JobsClient) -> None:
    with pytest.raises(NotFound, match="ftjob-9"):
        next(client.watch("ftjob-9"))


def test_a_call_waits_for_a_server_that_is_away_and_tells_so_once(jobs: FakeJobs, tmp_path: Path) -> None:
    port, told = _free_port(), []
    with contextlib.ExitStack() as started, grpc.insecure_channel(f"127.0.0.1:{port}", QUICK_RECONNECT) as channel:

        def away(error: PinetuneError) -> None:
            told.append(error)
            started.enter_context(serving(jobs, port))

        client = JobsClient(channel, away=away)
        dataset = client.create_dataset(b"{}\n", filename="one.jsonl")
        assert client.get_dataset(dataset.dataset_id).filename == "one.jsonl"
    with contextlib.ExitStack() as started, grpc.insecure_channel(f"127.0.0.1:{port}", QUICK_RECONNECT) as channel:
        assert JobsClient(channel, away=away).get_dataset(dataset.dataset_id).filename == "one.jsonl"
    assert len(told) == 2


def test_a_call_gives_up_after_its_patience() -> None:
    with grpc.insecure_channel(f"127.0.0.1:{_free_port()}") as channel:
        client = JobsClient(channel, patience_seconds=0)
        with pytest.raises(Unavailable):
            client.get_job("ftjob-1")
        with pytest.raises(Unavailable):
            client.pause_job("ftjob-1")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
