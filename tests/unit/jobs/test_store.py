"""The database: migrated to what the code says, one writer at a time, nothing half written."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from pinetune.jobs.states import State
from pinetune.jobs.store.database import Database
from pinetune.jobs.store.tables import metadata
from pinetune.jobs.store.works import JOB, NewWork, get_work, insert_work, list_works, update_work
from pinetune.pod.errors import InvalidInput, NotFound, Unavailable


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


def work(name: str) -> NewWork:
    return NewWork(
        work_id=name,
        kind=JOB,
        request_id=None,
        order_hash="",
        order_message=b"",
        base_model_uri="",
        max_restarts=0,
        create_time=1,
        dataset_uris={},
    )


def test_the_migrations_make_the_tables_that_the_code_names(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_opening_again_changes_nothing(database: Database, database_url: str) -> None:
    with database.write() as connection:
        insert_work(connection, work("ftjob-1"))
    again = Database(database_url)
    with again.read() as connection:
        assert [row.work_id for row in list_works(connection, State.QUEUED)] == ["ftjob-1"]
    again.close()


def test_a_database_of_a_newer_release_is_refused(database: Database, database_url: str) -> None:
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(
        InvalidInput, match=r"was written by a newer release of pinetune .*'9999'.*; use that one"
    ) as caught:
        Database(database_url)
    assert caught.value.reason == "DATABASE_TOO_NEW"


def test_two_services_that_start_at_once_make_the_tables_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(lambda _: Database(database_url), range(4)))
    for database in opened:
        with database.read() as connection:
            assert list_works(connection, State.QUEUED) == []
        database.close()


@pytest.mark.parametrize("url", ["", "nosuchdb://x", "sqlite:////no/such/folder/jobs.sqlite"])
def test_an_unusable_url_is_refused_by_its_variable(url: str) -> None:
    with pytest.raises(InvalidInput, match="PINETUNE_JOBS_DATABASE_URL"):
        Database(url)


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def fail_half_way() -> None:
        with database.write() as connection:
            insert_work(connection, work("ftjob-1"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with database.read() as connection:
        assert list_works(connection, State.QUEUED) == []


def test_foreign_keys_are_kept(database: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
        connection.execute(sa.text("INSERT INTO jobs VALUES ('none', 0, 0, 0, 0, '', '', '', '')"))


def test_writers_wait_for_each_other(database: Database) -> None:
    with database.write() as connection:
        insert_work(connection, work("ftjob-1"))

    def count_up() -> None:
        for _ in range(10):
            with database.write() as connection:
                number = get_work(connection, "ftjob-1").attempt
                connection.execute(sa.text("UPDATE works SET attempt = :n"), {"n": number + 1})

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert [row.attempt for row in list_works(connection, State.QUEUED)] == [40]


def test_a_reader_does_not_see_what_is_not_committed(database: Database) -> None:
    with database.write() as writing:
        insert_work(writing, work("ftjob-1"))
        with database.read() as connection:
            assert list_works(connection, State.QUEUED) == []


def test_a_reader_sees_one_state_however_many_statements_it_sends(database: Database) -> None:
    with database.read() as reading:
        assert list_works(reading, State.QUEUED) == []
        with database.write() as connection:
            insert_work(connection, work("ftjob-1"))
        assert list_works(reading, State.QUEUED) == []


def test_what_no_database_holds_as_text_is_kept_as_a_picture(database: Database) -> None:
    with database.write() as connection:
        insert_work(connection, work("ftjob-1"))
        update_work(connection, "ftjob-1", error_message="tail of a log: \0\0, ✓", waiting_for="a\0b")
    with database.write() as connection:
        found = get_work(connection, "ftjob-1")
        with pytest.raises(NotFound):
            get_work(connection, "ftjob\0-1")
    assert (found.fault.message, found.waiting_for) == ("tail of a log: ␀␀, ✓", "a␀b")


def test_a_disk_that_is_full_is_worth_a_second_try(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")

    def fill() -> None:
        with database.write() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
            insert_work(connection, replace(work("ftjob-1"), order_message=bytes(10_000_000)))

    with pytest.raises(Unavailable) as caught:
        fill()
    assert caught.value.reason == "DATABASE_UNAVAILABLE"
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        insert_work(connection, work("ftjob-1"))
    database.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(bytes(range(256)) * 100)
    with pytest.raises(InvalidInput, match="file is not a database") as caught:
        Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    assert caught.value.reason == "DATABASE_UNUSABLE"


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(InvalidInput, match="mysql is not supported; write sqlite:"):
        Database("mysql://host/jobs")
