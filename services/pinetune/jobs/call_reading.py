"""Refuses a grader of tool calls where the sampler looks for none: not one answer could be graded."""

from pinetune.client.grader_view import OUTPUT_TOOLS, values_needed
from pinetune.client.rollout import reads_calls
from pinetune.pod.errors import InvalidInput


def refuse_unread_calls(grader: object, parts_format: str) -> None:
    """Raise InvalidInput CALLS_NOT_READ where the grader needs calls and the engine's format of answers has none."""
    if OUTPUT_TOOLS in values_needed(grader) and not reads_calls(parts_format):
        raise InvalidInput(
            f"pinetune.engine.parts_format: the grader reads sample.{OUTPUT_TOOLS}, but calls of tools are not looked "
            f"for in answers: their format is {parts_format or 'none'!r}. Set the one that the model writes calls in "
            "(hermes, llama3 or mistral, with think+ before it where it thinks)",
            reason="CALLS_NOT_READ",
            field="pinetune.engine.parts_format",
        )
