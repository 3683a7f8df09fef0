"""Data sets: what an upload is checked for, how rows become items, and what two sets share.

A row becomes an item by the job's settings. What the model may see is in `messages` and `tools`; all else stays on the
reference side:

    {"id": "a-1", "question": "3 + 4?", "answer": "7", "cot": "3 + 4 = 7. The answer is 7."}   with {{item.question}}
    Item(item_id="a-1", line=1, messages=(Message("user", "3 + 4?"),), tools=(), reference="7",
         chain_of_thought="3 + 4 = 7. The answer is 7.", fields_json='{"id": "a-1", "question": …}')

No row is ever dropped: a bad one refuses the file, an odd one is a finding.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from pinetune.client.prompts import Message, Tool, ToolCall
from pinetune.jobs.prompts import MissingValueError, PromptTemplate, text_of, value_of_key
from pinetune.jobs.rows import LISTED_MAX, Finding, Row, read_rows, refusal
from pinetune.jobs.spec.settings import RESERVED_KEYS, DatasetSettings
from pinetune.pod.errors import InvalidInput, NotFound
from pinetune.pod.storage import reading

CHAIN_OF_THOUGHT = DatasetSettings().chain_of_thought
"""Where an upload, which knows no job yet, looks for chains of thought."""


@dataclass(frozen=True)
class Item:
    """One row of a data set, as a job reads it."""

    item_id: str
    """The row's `id`, or `row-<line>`; unique inside the data set."""
    line: int
    """1-based line of the row, for messages."""
    messages: tuple[Message, ...]
    """The prompt: all that the model reads."""
    tools: tuple[Tool, ...]
    """Tools that the model may call."""
    fields_json: str
    """JSON object with every key but `messages` and `tools`; graders read it as `item.*`."""
    reference: str
    """The reference answer as text; empty where the row has none."""
    chain_of_thought: str
    """The chain of thought to imitate; empty where the row has none."""


@dataclass(frozen=True)
class DatasetSummary:
    """What an upload's check found."""

    row_count: int
    """Number of rows."""
    common_keys: tuple[str, ...]
    """Keys that every row has, sorted."""
    findings: tuple[Finding, ...]
    """What is odd but allowed."""


@dataclass(frozen=True)
class Overlap:
    """What a training and a validation set share."""

    shared_prompt_ids: tuple[str, ...]
    """Validation items whose prompt is also in training."""
    shared_answers: tuple[str, ...]
    """Distinct reference answers of validation that are also in training."""
    validation_answer_count: int
    """Distinct reference answers of validation."""


def check_upload(file: BinaryIO) -> DatasetSummary:
    """Check every row of a seekable file; raises InvalidInput INVALID_DATASET that lists the bad ones."""
    faults: list[Finding] = []
    line_of_id: dict[str, int] = {}
    line_of_content: dict[bytes, int] = {}
    repeats: list[Finding] = []
    keys: Counter[str] = Counter()
    row_count = 0
    for row in read_rows(file):
        row_count += 1
        faults += row.faults
        if row.faults:
            continue
        keys.update(row.table.keys())
        first = line_of_id.setdefault(row.row_id, row.line)
        if first != row.line:
            faults.append(Finding(row.line, "id", f"{row.row_id!r} is the id of line {first} already"))
        first = line_of_content.setdefault(_content_hash(row), row.line)
        if first != row.line:
            repeats.append(Finding(row.line, "", f"the same item as line {first}"))
    if faults:
        raise refusal(faults)
    common = tuple(sorted(key for key, count in keys.items() if count == row_count))
    findings = _cut(repeats, "more rows repeat an earlier one")
    if keys[CHAIN_OF_THOUGHT]:
        findings += _chain_findings(keys[CHAIN_OF_THOUGHT], row_count)
    return DatasetSummary(row_count, common, tuple(findings))


def read_items(uri: str, settings: DatasetSettings) -> list[Item]:
    """Read the items of the data set at `uri` in the file's order.

    Raises NotFound where there is no such file, and InvalidInput, which lists the bad rows, where a row does not give
    a prompt by these settings.
    """
    try:
        with reading(uri) as file:
            return items_of(read_rows(file), settings)
    except FileNotFoundError as error:
        raise NotFound(f"the data set at {uri} is not there any more", reason="DATASET_NOT_FOUND", uri=uri) from error


def items_of(rows: Iterator[Row], settings: DatasetSettings) -> list[Item]:
    """Make items of rows; raises InvalidInput INVALID_DATASET that lists the bad ones."""
    templates = _Templates.parse(settings)
    items: list[Item] = []
    faults: list[Finding] = []
    for row in rows:
        if row.faults:
            faults += row.faults
            continue
        try:
            items.append(_item(row, settings, templates))
        except _BadRowError as error:
            faults.append(error.finding)
    if faults:
        raise refusal(faults)
    return items


def item_findings(items: Sequence[Item], settings: DatasetSettings) -> list[Finding]:
    """Return what is odd about items but allowed: repeated prompts, rows without a chain of thought."""
    first_line: dict[bytes, int] = {}
    repeats = []
    for item in items:
        line = first_line.setdefault(_prompt_hash(item), item.line)
        if line != item.line:
            repeats.append(Finding(item.line, "", f"the same prompt as line {line}"))
    chain_count = sum(bool(item.chain_of_thought) for item in items)
    chains = _chain_findings(chain_count, len(items), settings.chain_of_thought)
    return [*_cut(repeats, "more rows repeat an earlier prompt"), *chains]


def overlap(training: Sequence[Item], validation: Sequence[Item]) -> Overlap:
    """Return what the sets share. Prompts are compared without regard to white space, answers also to case."""
    prompts = {_prompt_hash(item) for item in training}
    answers = {_answer(item) for item in training}
    validation_answers = {_answer(item): item.reference for item in validation if item.reference}
    return Overlap(
        shared_prompt_ids=tuple(item.item_id for item in validation if _prompt_hash(item) in prompts),
        shared_answers=tuple(sorted(text for key, text in validation_answers.items() if key in answers)),
        validation_answer_count=len(validation_answers),
    )


def refuse_missing_references(items: Sequence[Item], settings: DatasetSettings) -> None:
    """Raise InvalidInput REFERENCE_MISSING that lists the rows without an answer, where answers are to be compared."""
    if not settings.refuse_answer_overlap:
        return
    faults = [
        Finding(
            item.line,
            settings.reference,
            "is missing or empty, but pinetune.dataset.refuse_answer_overlap compares it; the row has "
            f"{', '.join(sorted(json.loads(item.fields_json)))}; name the right one in pinetune.dataset.reference",
        )
        for item in items
        if not item.reference.strip()
    ]
    if faults:
        raise refusal(faults, reason="REFERENCE_MISSING")


def refuse_overlap(
    training: Sequence[Item],
    validation: Sequence[Item],
    settings: DatasetSettings,
    *,
    field: str = "validation_file",
    seen_in: str = "training",
) -> None:
    """Raise InvalidInput DATASETS_OVERLAP where the sets share what these settings refuse.

    `field` is the second's; `seen_in` is what the first is called.
    """
    shared = overlap(training, validation)
    if settings.refuse_prompt_overlap and (ids := shared.shared_prompt_ids):
        raise InvalidInput(
            f"{field}: {len(ids)} of {len(validation)} items have a prompt that is also in {seen_in}: "
            f"{', '.join(ids[:5])}{' …' * (len(ids) > 5)}; take them out of one set, or set "
            "pinetune.dataset.refuse_prompt_overlap to false",
            reason="DATASETS_OVERLAP",
            field=field,
            shared_count=len(ids),
        )
    if settings.refuse_answer_overlap and (answers := shared.shared_answers):
        raise InvalidInput(
            f"{field}: {len(answers)} of {shared.validation_answer_count} reference answers are also in {seen_in}: "
            f"{', '.join(answers[:5])}{' …' * (len(answers) > 5)}; take them out of one set, or set "
            "pinetune.dataset.refuse_answer_overlap to false",
            reason="DATASETS_OVERLAP",
            field=field,
            shared_count=len(answers),
        )


class _BadRowError(Exception):
    """A row gives no item; its finding is collected with the others."""

    def __init__(self, line: int, key: str, message: str) -> None:
        super().__init__(message)
        self.finding = Finding(line, key, message)


@dataclass(frozen=True)
class _Templates:
    prompt: PromptTemplate | None
    system: PromptTemplate | None

    @classmethod
    def parse(cls, settings: DatasetSettings) -> "_Templates":
        """Read the settings' templates; raises InvalidInput INVALID_PROMPT or HIDDEN_KEY_IN_PROMPT."""
        prompt, system = (
            PromptTemplate.parse(text, field=field, hidden=settings.hidden_keys) if text else None
            for text, field in (
                (settings.prompt, "pinetune.dataset.prompt"),
                (settings.system, "pinetune.dataset.system"),
            )
        )
        if prompt is not None and prompt.is_constant:
            raise InvalidInput(
                "pinetune.dataset.prompt names no key of the row, so that every prompt would be the same; "
                "write e.g. {{item.question}}",
                reason="INVALID_PROMPT",
                field="pinetune.dataset.prompt",
            )
        return cls(prompt, system)


def _item(row: Row, settings: DatasetSettings, templates: _Templates) -> Item:
    table = row.table
    chain = text_of(value_of_key(table, settings.chain_of_thought) or "")
    if "messages" in table:
        messages = tuple(_message(message) for message in table["messages"])
        # A last turn of the assistant is what to imitate, as in the openai API's supervised files; never a prompt.
        if messages[-1].role == "assistant" and not messages[-1].tool_calls:
            chain = chain or messages[-1].content
            messages = messages[:-1]
        if not messages or messages[-1].role not in ("user", "tool"):
            raise _BadRowError(
                row.line, "messages", "the last message before the answer must be the user's or a tool's"
            )
    else:
        messages = _rendered(row, templates)
    reference = value_of_key(table, settings.reference)
    fields = {key: value for key, value in table.items() if key not in RESERVED_KEYS}
    return Item(
        item_id=row.row_id,
        line=row.line,
        messages=messages,
        tools=tuple(_tool(tool) for tool in table.get("tools", [])),
        fields_json=json.dumps(fields, ensure_ascii=False),
        reference="" if reference is None else text_of(reference),
        chain_of_thought=chain,
    )


def _rendered(row: Row, templates: _Templates) -> tuple[Message, ...]:
    if templates.prompt is None:
        raise _BadRowError(
            row.line, "", "the row has no `messages`; say in pinetune.dataset.prompt how it becomes a prompt"
        )
    messages = []
    for role, template in (("system", templates.system), ("user", templates.prompt)):
        if template is None:
            continue
        try:
            text = template.render(row.table)
        except MissingValueError as error:
            raise _BadRowError(row.line, error.path, f"is missing or null, but {template.field} names it") from None
        if not text.strip():
            raise _BadRowError(row.line, "", f"{template.field} gives an empty text")
        messages.append(Message(role, text))
    return tuple(messages)


def _message(message: Mapping[str, Any]) -> Message:
    content = message.get("content") or ""
    return Message(
        role=message["role"],
        content=content if isinstance(content, str) else "".join(part["text"] for part in content),
        name=message.get("name") or "",
        tool_calls=tuple(
            ToolCall(call.get("id") or "", call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or []
        ),
        tool_call_id=message.get("tool_call_id") or "",
        reasoning_content=message.get("reasoning_content") or "",
    )


def _tool(tool: Mapping[str, Any]) -> Tool:
    function = tool["function"]
    parameters = function.get("parameters")
    return Tool(
        name=function["name"],
        description=function.get("description") or "",
        parameters_json="" if parameters is None else json.dumps(parameters, ensure_ascii=False),
    )


def _content_hash(row: Row) -> bytes:
    content = {key: value for key, value in row.table.items() if key != "id"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()


def _prompt_hash(item: Item) -> bytes:
    turns = [[message.role, " ".join(message.content.split())] for message in item.messages]
    return hashlib.sha256(json.dumps(turns).encode()).digest()


def _answer(item: Item) -> str:
    return " ".join(item.reference.split()).casefold()


def _chain_findings(chain_count: int, row_count: int, key: str = CHAIN_OF_THOUGHT) -> list[Finding]:
    lacking = row_count - chain_count
    if not lacking:
        return []
    return [Finding(0, key, f"{lacking} of {row_count} rows have no chain of thought; the warm-up leaves them out")]


def _cut(findings: Sequence[Finding], rest: str) -> list[Finding]:
    more = len(findings) - LISTED_MAX
    return [*findings[:LISTED_MAX], *([Finding(0, "", f"{more} {rest}")] if more > 0 else [])]
