"""Refuses a grader of tool calls where the sampler looks for none: not one answer could be graded."""

from pinetune.client.grader_view import OUTPUT_TOOLS, values_needed
from pinetune.client.rollout import reads_calls
from pinetune.pod.errors import InvalidInput

AUTO = "auto"
JOB_FIELD, EVALUATION_FIELD = "pinetune.engine.parts_format", "engine.parts_format"


def refuse_unread_calls(grader: object, parts_format: str, *, field: str) -> None:
    """Raise InvalidInput CALLS_NOT_READ where the grader needs calls and the format of answers has none.

    What `auto` comes to only the sampler knows: an order with it passes, and later the sampler's own word is looked at.
    """
    if parts_format != AUTO and OUTPUT_TOOLS in values_needed(grader) and not reads_calls(parts_format):
        raise InvalidInput(
            f"{field}: the grader reads sample.{OUTPUT_TOOLS}, but calls of tools are not looked for in answers: their "
            f"format is {parts_format or 'none'!r}. Set the one that the model writes calls in (hermes, llama3 or "
            "mistral, with think+ before it where it thinks)",
            reason="CALLS_NOT_READ",
            field=field,
        )
