"""Pins what the images install: `deploy/images/requirements/*.txt`, every package with its version and hashes.

`make image-locks` runs this after a change of pyproject.toml's dependencies and whenever newer versions are wanted;
`tests/contract/test_image_locks.py` says when it has to. It needs uv and a package index.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "deploy" / "images" / "requirements"
EXTRAS = {
    "grading": ("grading", "traces"),
    "gateway": ("gateway", "traces"),
    "jobs": ("jobs", "kubernetes", "postgres", "s3", "traces"),
    "torch": ("learning", "generation", "s3", "traces"),
    "vllm": ("generation", "s3", "traces"),
}
"""By lock, the extras of pyproject.toml that it pins; the file NAME.in, where there is one, has what stands in none."""


def main() -> None:
    """Write all locks anew."""
    for name, extras in EXTRAS.items():
        _lock(name, ["pyproject.toml", *(f"--extra={extra}" for extra in extras)])
    _lock("build", [])


def _lock(name: str, sources: list[str]) -> None:
    own = LOCKS / f"{name}.in"
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version=3.11"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--upgrade", *sources]
    command += [str(own.relative_to(ROOT))] if own.exists() else []
    subprocess.run([*command, f"--output-file={(LOCKS / name).relative_to(ROOT)}.txt"], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
