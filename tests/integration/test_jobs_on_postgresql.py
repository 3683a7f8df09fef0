"""What only a server can do to the jobs service: be away, crash, cut a commit's answer off, be dumped and restored."""

import json
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.fakes.jobs_room import Room, jobs_room, training_step
from tests.postgresql import PostgresqlServer

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1.jobs_pb2_grpc import JobsServiceStub
from pinetune.client.calls import TAKEN
from pinetune.client.jobs import JobsClient
from pinetune.client.worker import WorkerClient
from pinetune.jobs.journal import Journal
from pinetune.jobs.store.database import Database
from pinetune.jobs.store.tables import metadata
from pinetune.jobs.usage import Usage
from pinetune.pod.errors import InvalidInput, Unavailable

SOCKET = ".s.PGSQL.5432"
PATIENCE_SECONDS = 30.0
USAGE = wire.Usage(seconds=3.0)


@pytest.fixture
def room(tmp_path: Path, postgresql: PostgresqlServer) -> Iterator[Room]:
    with jobs_room(tmp_path, postgresql.make_database()) as running:
        yield running


@contextmanager
def away(server: PostgresqlServer) -> Iterator[None]:
    """Let the server have crashed for the block."""
    server.stop()
    try:
        yield
    finally:
        server.start()


def steps_of(room: Room, job_id: str) -> list[int]:
    return [step.number for step in room.client.list_steps(job_id)]


def impatient(room: Room, job_id: str) -> WorkerClient:
    return WorkerClient(room.channel, work_id=job_id, attempt=1, patience_seconds=0.0)


def name_of(url: str) -> str:
    return str(sa.make_url(url).database)


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def test_while_the_server_is_away_calls_fail_in_a_way_that_is_worth_repeating(
    room: Room, postgresql: PostgresqlServer
) -> None:
    job_id = room.create_job().job_id
    room.take(job_id).commit_step(training_step(1), USAGE)
    worker, client = impatient(room, job_id), JobsClient(room.channel, patience_seconds=0.0)
    calls: list[Callable[[], object]] = [
        lambda: worker.commit_step(training_step(2), USAGE),
        lambda: client.get_job(job_id),
        lambda: next(client.watch(job_id, patience_seconds=0.0)),
        lambda: client.pause_job(job_id),
        room.scheduler.look,
    ]
    with away(postgresql):
        for call in calls:
            with pytest.raises(Unavailable) as caught:
                call()
            assert caught.value.reason == "DATABASE_UNAVAILABLE"
            assert caught.value.retry_after_seconds == 1.0
        watch = JobsServiceStub(room.channel).WatchJob(wire.WatchJobRequest(job_id=job_id), timeout=PATIENCE_SECONDS)
        assert TAKEN[0] not in watch.initial_metadata(), "nothing can be told"
    worker.commit_step(training_step(2), USAGE)
    assert steps_of(room, job_id) == [1, 2]
    room.scheduler.look()
    assert room.client.get_job(job_id).state == wire.JOB_STATE_RUNNING


def test_a_phase_that_begins_while_the_server_is_away_is_told_with_its_plan_before_the_first_step(
    room: Room, postgresql: PostgresqlServer
) -> None:
    job_id = room.create_job().job_id
    journal = Journal(room.take(job_id), Usage())
    journal.total_steps = 4
    told = len(list(room.client.list_events(job_id)))
    with ThreadPoolExecutor() as threads:
        with away(postgresql):
            beginning = threads.submit(journal.begin, wire.JOB_PHASE_TRAINING)
            time.sleep(0.3)
            assert not beginning.done()
        beginning.result(PATIENCE_SECONDS)
    job = room.client.get_job(job_id)
    assert (job.phase, job.total_steps) == (wire.JOB_PHASE_TRAINING, 4)
    assert [one.message for one in room.client.list_events(job_id)][told:] == ["the training begins"]


def test_steps_that_are_committed_while_the_server_crashes_count_once(room: Room, postgresql: PostgresqlServer) -> None:
    job_id = room.create_job().job_id
    worker = room.take(job_id)
    committed, enough = [0], threading.Event()

    def work() -> None:
        while not enough.is_set():
            worker.commit_step(training_step(committed[0] + 1), USAGE)
            committed[0] += 1

    def has_passed(count: int) -> bool:
        return committed[0] > count

    events: list[int] = []
    working = threading.Thread(target=work)
    watching = threading.Thread(
        target=lambda: events.extend(
            one.event.step.number for one in room.client.watch(job_id) if one.event.step.number
        )
    )
    for thread in (working, watching):
        thread.start()
    for _ in range(3):
        until(partial(has_passed, committed[0] + 5))
        with away(postgresql):
            pass
    enough.set()
    working.join(PATIENCE_SECONDS)
    worker.finish(wire.JOB_STATE_SUCCEEDED, model_uri="/model")
    watching.join(PATIENCE_SECONDS)
    assert steps_of(room, job_id) == list(range(1, committed[0] + 1))
    assert events == steps_of(room, job_id), "who watched was told of each step once"


class Proxy:
    """Stands before the server's socket, and can cut a connection off between the COMMIT of a writer and its answer."""

    def __init__(self, server: PostgresqlServer) -> None:
        self.commits_to_cut = 0
        self.folder = Path(tempfile.mkdtemp(dir=server.folder))
        self._server_address = str(server.folder / SOCKET)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / SOCKET))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # Closing alone does not wake the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        shutil.rmtree(self.folder)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        silent, writes = threading.Event(), False
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._server_address)
            answering = threading.Thread(target=_answer, args=(server, client, silent), daemon=True)
            answering.start()
            while asked := client.recv(1 << 16):
                if b"BEGIN" in asked:
                    writes = b"READ ONLY" not in asked
                cut = writes and b"COMMIT\0" in asked and self.commits_to_cut > 0
                if cut:
                    self.commits_to_cut -= 1
                    silent.set()
                server.sendall(asked)
                if cut:
                    break
            server.shutdown(socket.SHUT_WR)
            # It does what it was asked to before it sees that nobody is there any more.
            answering.join()


def _answer(server: socket.socket, client: socket.socket, silent: threading.Event) -> None:
    while answer := server.recv(1 << 16):
        if not silent.is_set():
            client.sendall(answer)


@pytest.fixture
def proxied(tmp_path: Path, postgresql: PostgresqlServer) -> Iterator[tuple[Room, Proxy]]:
    proxy = Proxy(postgresql)
    url = postgresql.make_database().replace(str(postgresql.folder), str(proxy.folder))
    with jobs_room(tmp_path, url) as running:
        yield running, proxy
    proxy.close()


def test_a_step_whose_commit_got_no_answer_is_repeated_and_counts_once(proxied: tuple[Room, Proxy]) -> None:
    room, proxy = proxied
    job_id = room.create_job().job_id
    worker = room.take(job_id)
    proxy.commits_to_cut = 1
    with pytest.raises(Unavailable) as caught:
        impatient(room, job_id).commit_step(training_step(1), USAGE)
    assert caught.value.reason == "DATABASE_UNAVAILABLE"
    assert steps_of(room, job_id) == [1], "the server has it, though nobody was told"
    proxy.commits_to_cut = 2
    for number in (1, 2, 3):
        worker.commit_step(training_step(number), USAGE)
    assert proxy.commits_to_cut == 0
    assert steps_of(room, job_id) == [1, 2, 3]
    told = [event.step.number for event in room.client.list_events(job_id) if event.HasField("step")]
    assert told == [1, 2, 3]


def test_an_order_whose_commit_got_no_answer_makes_one_job(proxied: tuple[Room, Proxy]) -> None:
    room, proxy = proxied
    order = json.dumps(room.order())
    proxy.commits_to_cut = 1
    job = room.client.create_job(order)
    assert proxy.commits_to_cut == 0
    assert [one.job_id for one in room.client.list_jobs()] == [job.job_id]


def test_a_dump_that_is_restored_has_every_row(tmp_path: Path, postgresql: PostgresqlServer) -> None:
    url, restored_url = postgresql.make_database(), postgresql.make_database()
    with jobs_room(tmp_path, url) as room:
        job_id = room.create_job().job_id
        worker = room.take(job_id)
        for number in (1, 2):
            worker.commit_step(training_step(number), USAGE)
        # As docs/backup.md has it, while the service runs.
        dump = str(postgresql.folder / "pinetune.dump")
        postgresql.run("pg_dump", "--format=custom", f"--file={dump}", name_of(url))
        postgresql.run("pg_restore", "--exit-on-error", f"--dbname={name_of(restored_url)}", dump)
        restored = Database(restored_url)
        with room.database.read() as before, restored.read() as after:
            for table in metadata.sorted_tables:
                rows = [sorted(map(repr, connection.execute(sa.select(table)))) for connection in (before, after)]
                assert rows[0] == rows[1], table.name
        restored.close()
    with jobs_room(tmp_path / "restored", restored_url) as room:
        assert steps_of(room, job_id) == [1, 2]
        # Numbers go on after those that were restored.
        newest = room.create_job().job_id
        assert [job.job_id for job in room.client.list_jobs()] == [newest, job_id]


def test_a_database_that_cannot_hold_every_text_is_refused(postgresql: PostgresqlServer) -> None:
    url = postgresql.make_database(settings="ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(InvalidInput, match="has the encoding SQL_ASCII; it must be UTF8") as caught:
        Database(url)
    assert caught.value.reason == "DATABASE_ENCODING"


def test_a_user_who_may_not_make_tables_is_told_so(postgresql: PostgresqlServer) -> None:
    url = postgresql.make_database()
    postgresql.sql("postgres", "CREATE ROLE somebody LOGIN PASSWORD 'secret'")
    with pytest.raises(InvalidInput, match="permission denied for schema public") as caught:
        Database(url.replace("pinetune@", "somebody:secret@"))
    assert caught.value.reason == "DATABASE_UNUSABLE"
    assert "secret" not in caught.value.message


def test_a_server_that_is_not_there_is_named_as_it_was_given_but_for_passwords(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="PINETUNE_JOBS_DATABASE_URL") as caught:
        Database(f"postgresql+psycopg://me:secret@/jobs?host={tmp_path}&password=secret", patience_seconds=0.0)
    assert caught.value.reason == "DATABASE_UNUSABLE"
    named = caught.value.message.split()[1]
    assert sa.make_url(named).query == {"host": str(tmp_path)}
    assert "secret" not in caught.value.message


def test_a_service_that_starts_waits_for_a_server_that_starts(
    tmp_path: Path, postgresql: PostgresqlServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgresql.make_database()
    with ThreadPoolExecutor(1) as pool:
        with away(postgresql):
            opened = pool.submit(Database, url)
            until(lambda: "cannot be opened yet" in caplog.text)
            assert not opened.done()
        database = opened.result(PATIENCE_SECONDS)
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(metadata.tables["works"])) == 0
    database.close()


@pytest.mark.parametrize(
    ("state", "passes"),
    [("40001", True), ("53300", True), ("57P01", True), ("25006", True), ("53400", False), ("57P04", False)],
)
def test_only_what_passes_by_itself_is_worth_a_second_try(
    postgresql: PostgresqlServer, state: str, passes: bool
) -> None:
    database = Database(postgresql.make_database())

    def fail() -> None:
        with database.write() as connection:
            connection.exec_driver_sql(f"DO $$ BEGIN RAISE 'so it is' USING ERRCODE = '{state}'; END $$")

    with pytest.raises(Unavailable if passes else sa.exc.DBAPIError, match="so it is"):
        fail()
    database.close()


def test_a_write_where_only_reading_is_meant_is_our_fault(postgresql: PostgresqlServer) -> None:
    database = Database(postgresql.make_database())

    def fail() -> None:
        with database.read() as connection:
            connection.exec_driver_sql("DELETE FROM works")

    with pytest.raises(sa.exc.InternalError, match="read-only transaction"):
        fail()
    database.close()


def test_callers_are_told_what_the_server_says(postgresql: PostgresqlServer) -> None:
    url = postgresql.make_database()
    database = Database(url)
    postgresql.sql("postgres", f"DROP DATABASE {name_of(url)} WITH (FORCE)")
    with pytest.raises(Unavailable, match=f'database "{name_of(url)}" does not exist') as caught:
        database.size_bytes()
    assert "\n" not in caught.value.message
    database.close()


@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_the_server_s_own_isolation_level_does_not_matter(
    tmp_path: Path, postgresql: PostgresqlServer, level: str
) -> None:
    url = postgresql.make_database()
    postgresql.sql("postgres", f"ALTER DATABASE {name_of(url)} SET default_transaction_isolation TO '{level}'")
    with jobs_room(tmp_path, url) as room:
        job_id = room.create_job().job_id
        worker = room.take(job_id)
        threads = [
            threading.Thread(target=impatient(room, job_id).commit_step, args=(training_step(1), USAGE))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        worker.commit_step(training_step(2), USAGE)
        assert steps_of(room, job_id) == [1, 2]
