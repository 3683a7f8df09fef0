"""Reads the files that people write for the command: YAML as of version 1.2, or JSON; faults name the line.

PyYAML follows YAML 1.1, where `1e-5` is a text, `No` is false and `1:30` is ninety. A job file is full of learning
rates and a grader's choices may well be Yes and No, so this reader knows the types of YAML 1.2's core schema only. A
key that is there twice is a fault; PyYAML would take the last without a word.
"""

import gzip
import io
import json
import re
import zlib
from collections.abc import Hashable
from pathlib import Path

import yaml

from pinetune.client import strict_json
from pinetune.pod.errors import InvalidInput

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
"""What a file may hold."""


GZIP_MAGIC = b"\x1f\x8b"
NO_TEXT = 'a key must be a plain text; a template stands in quotes: "{{item.answer}}"'


class CoreLoader(yaml.SafeLoader):
    """Loads one document with the core schema of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own way

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """Make a dict; a key that is there twice is a fault."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, NO_TEXT, key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
            seen.add(key.value)
        pairs = ((key.value, self.construct_object(value, deep=True)) for key, value in node.value)
        return dict(pairs)


# The tags and patterns of https://yaml.org/spec/1.2.2/#103-core-schema, without what JSON cannot say: octal and
# hexadecimal numbers, infinities, not-a-number. Beside each the characters it may begin with.
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)
CoreLoader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
CoreLoader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: strict_json.number_of(node.value))


def read_object(path: Path) -> dict[str, Json]:
    """Read a file whose top is a mapping; raises InvalidInput that names file, line and fault."""
    text = read_text(path)
    try:
        if path.suffix == ".json":
            content = strict_json.parse(text)
        else:
            content = yaml.load(text, Loader=CoreLoader)
            strict_json.refuse_unfit(content)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise _unreadable(place, error.problem or "not YAML") from error
    except yaml.YAMLError as error:
        raise _unreadable(str(path), " ".join(str(error).split())) from error
    except json.JSONDecodeError as error:
        raise _unreadable(f"{path}:{error.lineno}:{error.colno}", error.msg) from error
    except RecursionError as error:
        raise _unreadable(str(path), "nested too deeply") from error
    except strict_json.UnfitError as error:
        raise InvalidInput(f"{path}: {error}", reason="FILE_MALFORMED", field=error.path) from error
    except ValueError as error:
        raise _unreadable(str(path), f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise _unreadable(str(path), f"its top must be a mapping with keys, not {_kind(content)}")
    return content


def read_text(path: Path) -> str:
    """Read a text file, unpacked where it is gzipped; raises InvalidInput where it is not there or is no UTF-8."""
    try:
        content = path.read_bytes()  # Once: what a pipe gives is gone then.
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
        return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig").read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInput(f"{path}: is no whole gzip file: {error}", reason="FILE_UNREADABLE") from error
    except OSError as error:
        raise InvalidInput(f"{path}: {(error.strerror or str(error)).lower()}", reason="FILE_UNREADABLE") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not UTF-8 at byte {error.start}", reason="FILE_UNREADABLE") from error


def _unreadable(place: str, fault: str) -> InvalidInput:
    return InvalidInput(f"{place}: {fault}", reason="FILE_MALFORMED")


def _kind(content: object) -> str:
    if content is None:
        return "nothing"
    return "a list" if isinstance(content, list) else f"{content!r}"
