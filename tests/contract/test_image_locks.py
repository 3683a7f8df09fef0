"""The images install what pyproject.toml asks for, pinned: `make image-locks` after a change of either."""

import re
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tools.lock_images import EXTRAS, LOCKS, ROOT

PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)", re.MULTILINE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def wanted(lock: str) -> Iterator[Requirement]:
    lines = list(PROJECT["dependencies"])
    for extra in EXTRAS[lock]:
        lines += PROJECT["optional-dependencies"][extra]
    return map(Requirement, lines)


@pytest.mark.parametrize("lock", EXTRAS)
def test_a_lock_pins_everything_that_its_extras_ask_for(lock: str) -> None:
    text = (LOCKS / f"{lock}.txt").read_text()
    pins = {canonicalize_name(match["name"]): match["version"] for match in PINNED.finditer(text)}
    for requirement in wanted(lock):
        version = pins.get(canonicalize_name(requirement.name))
        said = (
            f"{lock}.txt has {requirement.name} {version}, pyproject.toml wants {requirement}: run `make image-locks`"
        )
        assert version is not None, said
        assert requirement.specifier.contains(version, prereleases=True), said


@pytest.mark.parametrize("lock", [*EXTRAS, "build"])
def test_every_pin_has_hashes(lock: str) -> None:
    entries = re.split(r"\n(?=\S)", (LOCKS / f"{lock}.txt").read_text().strip())
    assert len(entries) > 5
    for entry in entries:
        assert PINNED.match(entry), entry
        assert "--hash=sha256:" in entry, entry
