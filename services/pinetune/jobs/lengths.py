"""Refuses, before a job's first step, rows that the model has no room for; met later, one would end a running job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pinetune.client.prompts import TokenSequence
from pinetune.jobs.dataset import Item
from pinetune.jobs.plan import Plan
from pinetune.pod.errors import InvalidInput

LINES_SHOWN = 5

Tokenized = Sequence[tuple[Item, TokenSequence]]


def measured_items(plan: Plan) -> dict[str, Sequence[Item]]:
    """Return the items that the job samples for without learning from them, by the field that names their file."""
    if plan.grader is None:
        return {}
    evaluation = plan.spec.pinetune.evaluation
    measured = {"validation_file": plan.validated}
    if evaluation.final_comparison:
        # One file in both roles is named once; the comparison takes all of it.
        same = evaluation.test_file == plan.spec.validation_file
        measured["validation_file" if same else "pinetune.evaluation.test_file"] = plan.test
    return {field: items for field, items in measured.items() if items}


def refuse_too_long(
    plan: Plan, training: Tokenized, measured: Mapping[str, Tokenized], *, warms_up: bool, limit: int
) -> None:
    """Raise InvalidInput ROWS_TOO_LONG that names file and lines where a prompt leaves no room for its answer.

    `limit` is how many tokens the model reads. Where the job warms up, prompt and chain of thought must fit too.
    """
    answer = plan.spec.pinetune.sampling.max_tokens
    found: list[_TooLong] = []
    if not plan.supervised_only:
        found += _too_long("training_file", training, limit, sampled=answer)
    for field, items in measured.items():
        found += _too_long(field, items, limit, sampled=answer)
    if warms_up:
        found += _too_long("training_file", [row for row in training if row[0].chain_of_thought], limit)
    if not found:
        return
    advice = ["shorten these rows or leave them out"]
    if any(one.sampled for one in found):
        advice.append("lower pinetune.sampling.max_tokens")
    if plan.spec.is_nano:
        advice.append("raise pinetune.nano.max_tokens")
    files = {
        "training_file": plan.spec.training_file,
        "validation_file": plan.spec.validation_file,
        "pinetune.evaluation.test_file": plan.spec.pinetune.evaluation.test_file,
    }
    sentences = "; ".join(one.sentence(files[one.field]) for one in found)
    raise InvalidInput(
        f"the model reads at most {limit} tokens. {sentences}. To go on: {', or '.join(advice)}",
        reason="ROWS_TOO_LONG",
        field=found[0].field,
        limit=limit,
        given=max(tokens for one in found for tokens in one.tokens_of_line.values()),
    )


@dataclass(frozen=True)
class _TooLong:
    field: str
    """The field that names the file."""
    sampled: int
    """Tokens that an answer may take; 0 where the answer is there already."""
    tokens_of_line: Mapping[int, int]
    """Tokens of prompt and answer together, by the line of the row."""

    def sentence(self, file_id: str) -> str:
        """Say which lines of the file are too long, and by how much."""
        answer = f"pinetune.sampling.max_tokens ({self.sampled})" if self.sampled else "chain of thought"
        lines = [f"line {line} has {tokens}" for line, tokens in [*self.tokens_of_line.items()][:LINES_SHOWN]]
        more = len(self.tokens_of_line) - len(lines)
        rest = f" and {more} more rows are too long as well" if more else ""
        return f"{self.field} {file_id}: counting prompt and {answer}, {', '.join(lines)}{rest}"


def _too_long(field: str, rows: Tokenized, limit: int, *, sampled: int = 0) -> list[_TooLong]:
    lengths = {
        item.line: len(sequence.prompt_token_ids) + (sampled or len(sequence.token_ids)) for item, sequence in rows
    }
    over = {line: tokens for line, tokens in lengths.items() if tokens > limit}
    return [_TooLong(field, sampled, over)] if over else []
