"""Walls between the rooms that import-linter cannot see: folders without `__init__`, and what an import drags along."""

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "services" / "pinetune"
SCRIPTS = "migrations"
"""Folder of what alembic runs by path; no package, and importing it would migrate."""
LIGHT_ROOMS = ("api", "pod", "client", "grading", "jobs", "gateway", "cli")
MODEL_LIBRARIES = ("torch", "transformers", "vllm", "llguidance", "safetensors")
# Imports every module of a room but those that run something, then says which model libraries came along.
PROBE = """
import importlib, pkgutil, sys
room = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    if not module.name.endswith("__main__") and ".migrations" not in module.name:
        importlib.import_module(module.name)
print(*sorted(set(sys.argv[2:]) & set(sys.modules)))
"""


def test_every_package_folder_has_an_init() -> None:
    # import-linter does not look into folders without one, and says nothing of it.
    folders = {path.parent for path in PACKAGE.rglob("*.py") if SCRIPTS not in path.parts}
    assert sorted(str(folder) for folder in folders if not (folder / "__init__.py").exists()) == []


@pytest.mark.parametrize("room", [room for room in LIGHT_ROOMS if (PACKAGE / room / "__init__.py").exists()])
def test_a_light_room_loads_no_model_library(room: str) -> None:
    if room == "grading" and not list(PACKAGE.glob("_core*.so")):
        pytest.skip("the Rust core is not built")
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, f"pinetune.{room}", *MODEL_LIBRARIES],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert probe.returncode == 0, probe.stderr
    assert probe.stdout.split() == []
