"""How commands of `graders` end without an answer: wrong input is told from an outage, to people and programs."""

import contextlib
import json
from collections.abc import Iterator

import typer

from pinetune.cli.console import EXIT_MISSED, EXIT_REFUSED, error_table, fail, say
from pinetune.pod.errors import Conflict, Denied, InvalidInput, NotFound, PinetuneError, Unsupported

WRONG = (InvalidInput, NotFound, Conflict, Denied, Unsupported)
"""Errors of what was given: the same command fails again. All others are outages."""
EXITS = (
    "Exit codes: 0 done; 1 a case or a test that does not hold, or an outage: no server, no answer in time, a sandbox "
    "that cannot be had; 2 what was given is wrong."
)
"""The last paragraph of each command's help."""


@contextlib.contextmanager
def refusals(as_json: bool) -> Iterator[None]:
    """Say why there is no answer, with reason and field, as JSON on stdout too, and end with the code for it."""
    try:
        yield
    except PinetuneError as error:
        fail(error.message)
        told = error_table(error)
        say(f"reason {told['reason']}" + (f", field {told['field']}" if told["field"] else ""))
        if as_json:
            print(json.dumps({"error": told}, ensure_ascii=False))
        raise typer.Exit(EXIT_REFUSED if isinstance(error, WRONG) else EXIT_MISSED) from error
