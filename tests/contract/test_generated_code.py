"""The checked-in `services/pinetune/api` is what `protos/` makes."""

from pathlib import Path

import pytest
from tools import gen_protos

API = gen_protos.ROOT / "services" / "pinetune" / "api"


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the generator makes now, in an empty folder."""
    folder = tmp_path_factory.mktemp("generated")
    gen_protos.generate(folder)
    return contents(folder / "pinetune" / "api")


def test_the_generator_makes_messages_stubs_and_types_for_every_proto(made: dict[str, bytes]) -> None:
    for proto in gen_protos.PROTOS.rglob("*.proto"):
        stem = str(proto.relative_to(gen_protos.PROTOS / "pinetune" / "api").with_suffix(""))
        assert {f"{stem}_pb2.py", f"{stem}_pb2.pyi", f"{stem}_pb2_grpc.py"} <= set(made)


def test_the_checked_in_code_is_what_the_protos_make(made: dict[str, bytes]) -> None:
    checked_in = contents(API)
    assert sorted(checked_in) == sorted(made), "run `make protos` and commit the result"
    differing = [name for name, content in made.items() if checked_in[name] != content]
    assert differing == [], "run `make protos` and commit the result"
