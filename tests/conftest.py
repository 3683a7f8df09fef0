"""What all tests share: a real pod, real databases, the data beside the repository, and no test of an old Rust core."""

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Before anything imports gRPC: tests start processes while it runs, and its handlers of fork write into their stderr.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from tests.postgresql import REQUIRE, PostgresqlServer, missing

if TYPE_CHECKING:
    from pinetune.pod.server import Pod, RegisteredService

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = "PINETUNE_SHARED_DATA"
# Read now: `pytest_configure` takes it away, since no pod knows it.
POSTGRESQL_REQUIRED = os.environ.get(REQUIRE) == "1"


def stale_core(root: Path) -> str:
    """Return why the built Rust core must not be tested, empty where it is the one that the sources make."""
    built = sorted((root / "services/pinetune").glob("_core*.so"))
    if not built:
        return "the Rust core is not built; run `make setup`"
    crate = root / "grader_core"
    sources = [crate / "Cargo.toml", *crate.glob("src/**/*.rs")]
    newer = [path for path in sources if path.exists() and path.stat().st_mtime > built[-1].stat().st_mtime]
    if newer:
        return f"{newer[0].relative_to(root)} is newer than the built Rust core; run `make setup`"
    return ""


def uses_core(path: Path) -> bool:
    """Say whether the tests in a file may open the Rust core; a run of everything always holds some that do."""
    return "grading" in str(path.relative_to(ROOT)) or "e2e" in path.parts


def pytest_configure() -> None:
    # What the shell of the person at work sets for pinetune must not reach the pods that tests start.
    for name in [name for name in os.environ if name.startswith("PINETUNE_") and name != SHARED_DATA]:
        del os.environ[name]


def pytest_collection_finish(session: pytest.Session) -> None:
    if any(uses_core(item.path) for item in session.items) and (why := stale_core(ROOT)):
        pytest.exit(why, returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets beside the repository, or wherever PINETUNE_SHARED_DATA says; skips without it."""
    folder = Path(os.environ.get(SHARED_DATA, ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}; {SHARED_DATA} names another folder")
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server for all tests; skips where there is none, unless PINETUNE_REQUIRE_POSTGRESQL is 1."""
    if why := missing():
        (pytest.fail if POSTGRESQL_REQUIRED else pytest.skip)(why)
    with PostgresqlServer.started() as server:
        yield server


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def make_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """A function that returns the URL of a new, empty database; every test of it runs on SQLite and on PostgreSQL."""
    if request.param == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        return server.make_database
    return lambda: f"sqlite:///{tmp_path_factory.mktemp('database') / 'jobs.sqlite'}"


@pytest.fixture
def database_url(make_database_url: Callable[[], str]) -> str:
    """The URL of a new, empty database of either kind."""
    return make_database_url()


@pytest.fixture(scope="session")
def s3_variables() -> Iterator[dict[str, str]]:
    """The environment variables that lead to an S3 server of these tests."""
    # Imported here: it takes a second, and few tests need it.
    from tests.object_storage import s3_server

    with s3_server() as variables:
        yield variables


@pytest.fixture
def bucket(s3_variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a new, empty bucket; this process and those it starts find it."""
    import fsspec

    for name, value in s3_variables.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex}"
    fsspec.filesystem("s3", use_listings_cache=False).mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """A function that serves services as a real pod on a free port and returns its address.

    `serve([RegisteredService(...)], threads=2)`; keyword arguments are fields of PodSettings. All stop with the test.
    """
    from pinetune.pod.server import PodSettings, start

    pods: list[Pod] = []

    def serve_pod(services: "Sequence[RegisteredService]", **settings: object) -> str:
        pods.append(start("test", PodSettings.model_validate({"grace_seconds": 1.0} | settings), lambda _: services))
        return pods[-1].grpc_address

    yield serve_pod
    for pod in pods:
        pod.close()
