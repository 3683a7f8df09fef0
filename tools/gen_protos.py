"""Makes `services/pinetune/api` from `protos/`: messages, gRPC stubs and their type stubs.

The proto package equals the Python import path, so the generated imports are right as they come. The result is checked
in; `tests/contract/test_generated_code.py` makes it again elsewhere and compares.
"""

import shutil
import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGE_DOC = '"""Generated from protos/ by tools/gen_protos.py; never edited."""\n'


def generate(target: Path) -> None:
    """Write the generated package tree under `target`, replacing `target/pinetune/api`."""
    shutil.rmtree(target / "pinetune" / "api", ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    includes = [f"-I{PROTOS}", f"-I{files('grpc_tools') / '_proto'}"]
    outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    # mypy-protobuf is a plugin on the PATH of the interpreter that runs this.
    plugin = Path(sys.executable).parent / "protoc-gen-mypy_grpc"
    outputs += [f"--plugin=protoc-gen-mypy_grpc={plugin}", f"--mypy_grpc_out={target}"]
    if protoc.main(["protoc", *includes, *outputs, *sources]) != 0:
        raise SystemExit("protoc refused the protos; its message is above")
    api = target / "pinetune" / "api"
    for folder in [api, *(path for path in api.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text(PACKAGE_DOC)


if __name__ == "__main__":
    generate(ROOT / "services")
