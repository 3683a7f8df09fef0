"""Writes what fuzzing begins with: the golden cases, as inputs of each target, below `corpus/`."""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parents[1] / "tests" / "golden"
GRADERS = HERE.parent / "tests" / "every_kind.json"


def golden_cases() -> Iterator[dict[str, object]]:
    """Yield every golden case."""
    for path in sorted(GOLDEN.glob("*.json")):
        yield from json.loads(path.read_text(encoding="utf-8"))


def text_of(value: object) -> str:
    """Return a text as it is and other JSON as its text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def texts() -> Iterator[bytes]:
    """Yield the text and reference of every case, dealt out over the graders of the target."""
    grader_count = len(json.loads(GRADERS.read_text(encoding="utf-8")))
    for number, case in enumerate(golden_cases()):
        if "output_text" not in case:
            continue
        item = case.get("item")
        answers = [text_of(value) for value in item.values()] if isinstance(item, dict) else [""]
        for shift in range(3):
            grader = (number + shift * 11) % grader_count
            yield bytes([grader]) + b"\xff".join(
                [text_of(case["output_text"]).encode(), *(a.encode() for a in answers[:1])]
            )


def graders() -> Iterator[bytes]:
    """Yield the grader of every case."""
    for case in golden_cases():
        yield text_of(case["grader"]).encode()


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes in protobuf's wire format."""
    length, size = bytearray(), len(content)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + content


def requests() -> Iterator[bytes]:
    """Yield a GradeRequest of every case."""
    for case in golden_cases():
        grader = field(1, field(2, text_of(case["grader"]).encode()))
        item, text = text_of(case.get("item", {})), text_of(case.get("output_text", ""))
        yield grader + field(2, item.encode()) + field(3, text.encode())


def main() -> int:
    """Write the seeds; return the process's exit code."""
    for name, seeds in (("texts", texts()), ("graders", graders()), ("requests", requests())):
        folder = HERE / "corpus" / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
        print(f"{name}: {len(list(folder.iterdir()))} inputs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
