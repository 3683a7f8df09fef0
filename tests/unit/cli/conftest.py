from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from tests.fakes import history
from tests.fakes.jobs_service import FakeJobs, serving

from pinetune.cli.main import main


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process; nothing of the tester's environment counts."""
    for name in ("PINETUNE_SERVER", "PINETUNE_HTTP", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def run_command(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as raised:
            main([str(each) for each in arguments])
        captured = capsys.readouterr()
        code = raised.value.code
        return Outcome(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run_command


@pytest.fixture
def jobs() -> FakeJobs:
    """A jobs service with a finished job `ftjob-rl` and its evaluations base, warm_up, fine_tuned."""
    fake = FakeJobs()
    fake.add(history.reinforcement("ftjob-rl", step_count=10, warm_up_count=3, eval_interval=5))
    return fake


@pytest.fixture
def pinetune(jobs: FakeJobs, run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run the command against that service."""
    with serving(jobs) as address:
        monkeypatch.setenv("PINETUNE_SERVER", address)
        yield run
