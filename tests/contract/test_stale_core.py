"""The guard of tests/conftest.py: an old Rust core is never what the tests test."""

import os
from pathlib import Path

import pytest
from tests.conftest import ROOT, stale_core, uses_core


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository whose core was built at second 100, from sources of second 50."""
    for name, seconds in {
        "grader_core/Cargo.toml": 50,
        "grader_core/src/lib.rs": 50,
        "grader_core/src/graders/number.rs": 50,
        "services/pinetune/_core.abi3.so": 100,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (seconds, seconds))
    return tmp_path


def test_a_core_newer_than_its_sources_is_tested(tree: Path) -> None:
    assert stale_core(tree) == ""


@pytest.mark.parametrize("name", ["Cargo.toml", "src/lib.rs", "src/graders/number.rs"])
def test_a_source_newer_than_the_core_is_named(tree: Path, name: str) -> None:
    os.utime(tree / "grader_core" / name, (150, 150))
    assert stale_core(tree) == f"grader_core/{name} is newer than the built Rust core; run `make setup`"


def test_a_core_that_was_never_built_is_refused(tree: Path) -> None:
    (tree / "services/pinetune/_core.abi3.so").unlink()
    assert stale_core(tree) == "the Rust core is not built; run `make setup`"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tests/unit/grading/test_graders.py", True),
        ("tests/integration/test_grading.py", True),
        ("tests/e2e/test_job.py", True),
        ("tests/unit/learning/test_ppo.py", False),
        ("tests/unit/pod/test_errors.py", False),
    ],
)
def test_only_runs_that_may_open_the_core_are_refused(name: str, expected: bool) -> None:
    assert uses_core(ROOT / name) is expected
