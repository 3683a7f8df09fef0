"""Where text becomes settings: environment variables and one TOML file, checked by pydantic, unknown names refused.

Each room has one class of settings and one prefix: `PINETUNE_GRADING_THREADS` is the field `threads` of the grading
room. What every pod has is under `PINETUNE_POD_`. A name below `PINETUNE_` that nobody knows is an error, because a
misspelt limit that silently does nothing is found only after the damage.

    class GradingSettings(RoomSettings, env_prefix="PINETUNE_GRADING_"):
        threads: int = Field(default=4, ge=1)
        \"\"\"Cores that grade.\"\"\"

    settings = load(GradingSettings)      # prints one sentence per fault and exits with 2

`PINETUNE_CONFIG_FILE` names a TOML file with one table a room (`[grading]`, `threads = 4`); variables win over it.
"""

import difflib
import json
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from pinetune.pod.errors import InvalidInput

PREFIX = "PINETUNE_"
ROOMS = ("pod", "client", "generation", "grading", "learning", "jobs", "worker", "gateway", "cli", "up")
"""The first words that a variable may have; whoever adds a room adds its word."""
TOKEN, CONFIG_FILE = "PINETUNE_TOKEN", "PINETUNE_CONFIG_FILE"
SHARED_NAMES = frozenset({TOKEN, CONFIG_FILE, "PINETUNE_SERVER", "PINETUNE_HTTP", "PINETUNE_SHARED_DATA"})
"""Variables of no single room: the token that pods show each other, the file of settings, where the command line finds
its server and the pages, the data that tests read."""
VALUE_CHARACTERS = 200
EXIT_CODE = 2
"""What a process ends with when its settings are wrong, as for wrong command line arguments."""
# Kubernetes sets PINETUNE_GRADING_SERVICE_HOST and the like in every pod beside a Service called pinetune-grading.
SERVICE_LINK = re.compile(r"(?P<service>.+?)_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")

S = TypeVar("S", bound="RoomSettings")


class RoomSettings(BaseSettings):
    """Base of every room's settings; the prefix is a class keyword: `env_prefix="PINETUNE_JOBS_"`."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take arguments before variables before the file; no .env file is looked for."""
        table = _file_tables().get(_room(settings_cls), {})
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=table)


def read(kind: type[S], **overrides: Any) -> S:
    """Read settings from the environment and the file; `overrides` (field names) win over both.

    Raises InvalidInput INVALID_SETTINGS with one line per fault.
    """
    faults = [_unknown_sentence(kind, name) for name in unknown_names(kind, os.environ)]
    try:
        settings = kind(**overrides)
    except ValidationError as error:
        faults += [_sentence(kind, fault) for fault in error.errors(include_url=False)]
    except SettingsError as error:
        faults.append(_json_sentence(kind, error))
    if faults:
        raise InvalidInput("\n".join(faults), reason="INVALID_SETTINGS")
    return settings


def load(kind: type[S], **overrides: Any) -> S:
    """Read settings, or print one sentence per fault to stderr and exit with 2."""
    try:
        return read(kind, **overrides)
    except InvalidInput as error:
        print(error, file=sys.stderr)
        raise SystemExit(EXIT_CODE) from None


def unknown_names(kind: type[RoomSettings], environ: Mapping[str, str]) -> list[str]:
    """Return the variables below PINETUNE_ that are neither `kind`'s, nor shared, nor below another room's prefix.

    Those of other rooms are left to the rooms: two pods may share one environment. What Kubernetes adds for Services
    is not ours to judge.
    """
    own = f"{PREFIX}{_room(kind).upper()}_"
    others = tuple(f"{PREFIX}{room.upper()}_" for room in ROOMS if f"{PREFIX}{room.upper()}_" != own)
    known = SHARED_NAMES | {variable_of(kind, field) for field in kind.model_fields}
    return sorted(
        name
        for name in environ
        if name.startswith(PREFIX)
        and name not in known
        and not name.startswith(others)
        and not _is_service_link(name, environ)
    )


def variable_of(kind: type[RoomSettings], field: str) -> str:
    """Return the name of the environment variable that sets `field`."""
    alias = kind.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"{PREFIX}{_room(kind)}_{field}".upper()


def _room(kind: type[BaseSettings]) -> str:
    prefix = kind.model_config.get("env_prefix", "")
    room = prefix.removeprefix(PREFIX).removesuffix("_").lower()
    if room not in ROOMS:
        raise TypeError(f"{kind.__name__} needs env_prefix='PINETUNE_<ROOM>_', ROOM one of {', '.join(ROOMS)}")
    return room


def _file_tables() -> dict[str, dict[str, Any]]:
    """Return the tables of the settings file by room; none where no file is named."""
    path = os.environ.get(CONFIG_FILE)
    if path is None:
        return {}
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{CONFIG_FILE}: {path} cannot be read as TOML: {error}", reason="INVALID_SETTINGS"
        ) from error
    for name, table in tables.items():
        if name not in ROOMS or not isinstance(table, dict):
            raise InvalidInput(
                f"{CONFIG_FILE}: {path} has {name!r} at its top; there are only tables: {', '.join(ROOMS)}",
                reason="INVALID_SETTINGS",
            )
    return tables


def _is_service_link(name: str, environ: Mapping[str, str]) -> bool:
    match = SERVICE_LINK.fullmatch(name)
    return match is not None and f"{match['service']}_SERVICE_HOST" in environ


def _unknown_sentence(kind: type[RoomSettings], name: str) -> str:
    known = [*SHARED_NAMES, *(variable_of(kind, field) for field in kind.model_fields)]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"settings begin with {PREFIX}<ROOM>_."
    return f"{name}: no setting of that name; {hint}"


def _sentence(kind: type[RoomSettings], fault: ErrorDetails) -> str:
    """Return one line for a person: variable or key of the file, what is wrong, and the value unless it is secret."""
    first, *rest = fault["loc"] or ("settings",)
    field = _field_of(kind, str(first))
    name = variable_of(kind, field) if field else f"{PREFIX}{_room(kind)}_{first}".upper()
    place = "".join(f"[{part!r}]" for part in rest)
    if field and name not in os.environ and field in _file_tables().get(_room(kind), {}):
        name = f"{os.environ[CONFIG_FILE]}: {_room(kind)}.{field}"
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{_toml_key(part)}" for part in rest)
    if fault["type"] == "extra_forbidden":
        # Not the value: whoever writes a key where its place belongs must not find it in the log as well.
        return f"{name}{place}: no setting of that name." if rest else _unknown_sentence(kind, name)
    message = fault["msg"].removeprefix("Value error, ")
    if field and not rest and _may_be_shown(kind.model_fields[field], fault["input"]):
        return f"{name}: {message}; given {fault['input']!r}."
    if rest and (shown := _shown_in_a_table(str(rest[-1]), fault["input"])):
        return f"{name}{place}: {message}; given {shown}."
    return f"{name}{place}: {message}."


def _json_sentence(kind: type[RoomSettings], error: SettingsError) -> str:
    match = re.search(r'field "(\w+)"', str(error))
    name = variable_of(kind, match[1]) if match and match[1] in kind.model_fields else str(error)
    return f'{name}: write lists and tables as JSON, e.g. ["a", "b"].'


def _field_of(kind: type[RoomSettings], location: str) -> str | None:
    """Return the field that pydantic means by `location`, which is the alias where a field has one."""
    fields = kind.model_fields
    return next((field for field in fields if location in (field, fields[field].validation_alias)), None)


def _may_be_shown(field: FieldInfo, value: object) -> bool:
    """Say whether a wrong value is safe in a log: plain, of a plain field, and no URL with a password.

    Tables and lists are where keys are written by mistake: `{"judge": {"api_key": "sk-…"}}`, or `{"judge": "sk-…"}`.
    """
    if not isinstance(value, str | int | float) or "Secret" in str(field.annotation) or _is_table(field.annotation):
        return False
    return not (isinstance(value, str) and "://" in value and "@" in value)


def _shown_in_a_table(key: str, value: object) -> str:
    """Return a wrong value inside a table as it may stand in a log: a number, or an address; of other texts the length.

    A text may be a key that was written where its place belongs.
    """
    if isinstance(value, int | float):
        return repr(value)
    if not isinstance(value, str):
        return ""
    is_address = key.endswith("url") and ("/" in value or ":" in value) and not set("@?#") & set(value)
    return repr(value[:VALUE_CHARACTERS]) if is_address else f"a text of {len(value)} characters"


def _toml_key(part: str) -> str:
    return part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part)


def _is_table(annotation: object) -> bool:
    kind = get_origin(annotation) or annotation
    is_one = isinstance(kind, type) and issubclass(kind, (BaseModel, Mapping, list, tuple, set, frozenset))
    return is_one or any(_is_table(part) for part in get_args(annotation))
