"""The contract keeps its own rules: all is explained, enums have a zero, lists have pages, names are in place."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_tools import protoc
from tools.gen_protos import PROTOS

from pinetune.pod.channel import SAFE_METHODS

UNSIGNED = {
    FieldDescriptorProto.TYPE_UINT32,
    FieldDescriptorProto.TYPE_UINT64,
    FieldDescriptorProto.TYPE_FIXED32,
    FieldDescriptorProto.TYPE_FIXED64,
}
# Where descriptor.proto keeps the parts of a file; source positions are paths of these numbers.
MESSAGE, ENUM, SERVICE = 4, 5, 6
FIELD, NESTED_MESSAGE, NESTED_ENUM, ONEOF = 2, 3, 4, 8
METHOD = VALUE = 2

Place = tuple[int, ...]


@dataclass(frozen=True)
class Named:
    """A part of a proto file with its position."""

    name: str
    place: Place
    part: object


def read_protos(folder: Path) -> list[FileDescriptorProto]:
    """Parse all protos of ours, comments included."""
    target = folder / "protos.bin"
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    arguments = [f"-I{PROTOS}", f"-I{files('grpc_tools') / '_proto'}", "--include_source_info"]
    assert protoc.main(["protoc", *arguments, f"--descriptor_set_out={target}", *sources]) == 0
    return list(FileDescriptorSet.FromString(target.read_bytes()).file)


@pytest.fixture(scope="module")
def protos(tmp_path_factory: pytest.TempPathFactory) -> list[FileDescriptorProto]:
    found = read_protos(tmp_path_factory.mktemp("protos"))
    assert found
    return found


def enum_parts(enum: EnumDescriptorProto, place: Place, scope: str) -> Iterator[Named]:
    name = f"{scope}.{enum.name}"
    yield Named(name, place, enum)
    for index, value in enumerate(enum.value):
        yield Named(f"{name}.{value.name}", (*place, VALUE, index), value)


def message_parts(message: DescriptorProto, place: Place, scope: str) -> Iterator[Named]:
    if message.options.map_entry:
        return  # Written as `map<…>`; the field that uses it is explained.
    name = f"{scope}.{message.name}"
    yield Named(name, place, message)
    for index, field in enumerate(message.field):
        yield Named(f"{name}.{field.name}", (*place, FIELD, index), field)
    for index, oneof in enumerate(message.oneof_decl):
        if not oneof.name.startswith("_"):  # `optional` makes one behind the scenes.
            yield Named(f"{name}.{oneof.name}", (*place, ONEOF, index), oneof)
    for index, nested in enumerate(message.nested_type):
        yield from message_parts(nested, (*place, NESTED_MESSAGE, index), name)
    for index, enum in enumerate(message.enum_type):
        yield from enum_parts(enum, (*place, NESTED_ENUM, index), name)


def parts(proto: FileDescriptorProto) -> Iterator[Named]:
    for index, service in enumerate(proto.service):
        yield Named(f"{proto.package}.{service.name}", (SERVICE, index), service)
        for number, method in enumerate(service.method):
            place = (SERVICE, index, METHOD, number)
            yield Named(f"{proto.package}.{service.name}/{method.name}", place, method)
    for index, message in enumerate(proto.message_type):
        yield from message_parts(message, (MESSAGE, index), proto.package)
    for index, enum in enumerate(proto.enum_type):
        yield from enum_parts(enum, (ENUM, index), proto.package)


def upper_snake(name: str) -> str:
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in name).lstrip("_").upper()


def test_everything_has_a_comment_above_it(protos: list[FileDescriptorProto]) -> None:
    silent = []
    for proto in protos:
        explained = {tuple(at.path) for at in proto.source_code_info.location if at.leading_comments.strip()}
        silent += [part.name for part in parts(proto) if part.place not in explained]
    assert silent == []


def test_a_package_is_its_folder(protos: list[FileDescriptorProto]) -> None:
    wrong = [proto.name for proto in protos if proto.package != str(Path(proto.name).parent).replace("/", ".")]
    assert wrong == []


def test_an_enum_begins_with_unspecified_and_its_values_carry_its_name(protos: list[FileDescriptorProto]) -> None:
    wrong = []
    for named in (part for proto in protos for part in parts(proto)):
        if isinstance(enum := named.part, EnumDescriptorProto):
            prefix = upper_snake(enum.name)
            zero = [value.name for value in enum.value if value.number == 0]
            wrong += [named.name] if zero != [f"{prefix}_UNSPECIFIED"] else []
            wrong += [value.name for value in enum.value if not value.name.startswith(f"{prefix}_")]
    assert wrong == []


def test_no_integer_is_unsigned(protos: list[FileDescriptorProto]) -> None:
    fields = (part for proto in protos for part in parts(proto) if isinstance(part.part, FieldDescriptorProto))
    assert [f.name for f in fields if isinstance(f.part, FieldDescriptorProto) and f.part.type in UNSIGNED] == []


def test_lists_come_in_pages(protos: list[FileDescriptorProto]) -> None:
    fields = {
        message.name: {field.name for field in message.field} for proto in protos for message in proto.message_type
    }
    lists = [
        m.name for proto in protos for service in proto.service for m in service.method if m.name.startswith("List")
    ]
    lacking = [
        name
        for name in lists
        if not {"page_size", "page_token"} <= fields[f"{name}Request"]
        or "next_page_token" not in fields[f"{name}Response"]
    ]
    assert lacking == []


def test_calls_that_channels_repeat_are_calls_of_the_contract(protos: list[FileDescriptorProto]) -> None:
    known = {part.name for proto in protos for part in parts(proto)}
    assert [name for name in SAFE_METHODS if name not in known] == []
